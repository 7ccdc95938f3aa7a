//! A reload of a Rust program whose first new worker is tried beside the old ones.

use crate::cancel::waiting_in;
use crate::support::control::ctl;
use crate::support::server::Folder;
use crate::support::{Load, Reuse};

#[test]
fn what_does_worse_is_refused_and_what_does_as_well_passes() {
    let folder = Folder::new();
    folder.write("ferricorn.toml", "[workers]\ncanary = \"1s\"\ncanary_requests = 60\n");
    let server = waiting_in(folder, "-c ferricorn.toml -w 2");
    let load = Load::start(server.address(), 4, &[Reuse::KeptAlive, Reuse::Closed]);
    for (manner, why) in [
        ("failing", "answers were 5xx, old workers 0.0 %"),
        ("slow", "error: canary: its answers took "),
        ("as well", ""),
    ] {
        server.folder().write("manner", manner);
        let generation = server.living_workers()[0].generation;
        let (code, output, complaint) = ctl(&server, &["reload"]);
        load.goes_on();
        if why.is_empty() {
            assert_eq!((code, complaint.as_str()), (Some(0), ""), "{output}");
            assert!(server.living_workers()[0].generation > generation);
        } else {
            assert_eq!((code, output.as_str()), (Some(1), ""), "{complaint}");
            assert!(complaint.contains(why), "{complaint}");
            assert_eq!(server.living_workers()[0].generation, generation);
        }
    }
    let (answered, failures) = load.stop();
    let is_canarys = |failure: &&String| failure.contains("status: 500");
    assert_eq!(failures.iter().find(|failure| !is_canarys(failure)), None, "of {answered}");
    assert!(!failures.is_empty(), "the canary got its share");
}
