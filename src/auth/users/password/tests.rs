use super::*;

/// Written by Django 5.2, at the least cost that its hashers take.
const STORED: [&str; 6] = [
    "pbkdf2_sha256$2000$fHBr1q7x86zYjF4cNhg4fC$aCYhTf/yfuT2jh8La7cuwt3zQj99F6756JaP5XkArDk=",
    "pbkdf2_sha1$2000$Q0k52G85nnS6QsDYBI8uW8$50aOQ/H5tYPquc2O7CYG4MtwJPw=",
    "argon2$argon2id$v=19$m=256,t=2,p=8$T200MTNPUnRwUDRRemFQbXBwTlBHRQ$trYxabBDUPwi4tObZFJEjDL9bidtajIgRTK2e6QRcoo",
    "bcrypt_sha256$$2b$04$5DASGS61eDJFOalxMURyzeS6VqbY04aW0LOcrkgkIuaeHeO0XtxEy",
    "bcrypt$$2b$04$un3MJOqJKzTzbJFsuDSweOPWZAPi5CknNLE9Un2SgGdBCDOLAcKrm",
    "scrypt$64$v90pMyO5qZze7DwQAIyZol$8$5$i48YJCJI8YPYUEuuJAJBI2Wt7bEPmqRom+zUPxnxUdC1Qt6TZdPqf/f6t0E8Y7N6hkI2/rEEA4e5zzs+DeEl6A==",
];

#[test]
fn what_django_stores_is_verified() {
    // Of whatever went before, and of any size.
    let mut memory = HashMemory::default();
    for stored in STORED {
        let hash = PasswordHash::parse(stored).unwrap();
        assert!(hash.verify("pässword 1".as_bytes(), &mut memory), "{stored}");
        for wrong in ["", "pässword 2", "pässword 1 ", "password 1"] {
            assert!(!hash.verify(wrong.as_bytes(), &mut memory), "{stored} by {wrong:?}");
        }
        assert!(
            !hash.decoy().verify("pässword 1".as_bytes(), &mut memory),
            "{stored}: nobody knows a decoy's password"
        );
        assert_eq!(hash.decoy().method, hash.method);
    }
}

#[test]
fn what_nobody_can_log_in_with_is_told_apart() {
    for (stored, problem) in [
        ("", HashProblem::Unusable),
        ("!aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", HashProblem::Unusable),
        ("plain", HashProblem::Unsupported),
        ("md5$salt$8c27b1ee544fe1c27db5810ee8c9d41a", HashProblem::Unsupported),
        ("pbkdf2_sha256$0$salt$aCYhTf/yfuT2jh8La7cuwt3zQj99F6756JaP5XkArDk=", HashProblem::Malformed),
        ("pbkdf2_sha256$2000$salt$", HashProblem::Malformed),
        ("pbkdf2_sha256$2000$salt", HashProblem::Malformed),
        (
            "pbkdf2_sha256$4000000000$salt$aCYhTf/yfuT2jh8La7cuwt3zQj99F6756JaP5XkArDk=",
            HashProblem::TooCostly,
        ),
        (
            "argon2$argon2id$v=19$m=4194304,t=2,p=8$c2FsdHNhbHQ$trYxabBDUPwi4tObZFJEjDL9bidtajIgRTK2e6QRcoo",
            HashProblem::TooCostly,
        ),
        (
            "argon2$argon2id$v=19$m=256,t=2,p=0$c2FsdHNhbHQ$trYxabBDUPwi4tObZFJEjDL9bidtajIgRTK2e6QRcoo",
            HashProblem::TooCostly,
        ),
        (
            "argon2$argon2id$v=19$t=2,m=256,p=8$c2FsdHNhbHQ$trYxabBDUPwi4tObZFJEjDL9bidtajIgRTK2e6QRcoo",
            HashProblem::Malformed,
        ),
        ("bcrypt$$2b$31$un3MJOqJKzTzbJFsuDSweOPWZAPi5CknNLE9Un2SgGdBCDOLAcKrm", HashProblem::TooCostly),
        ("bcrypt$$2x$04$un3MJOqJKzTzbJFsuDSweOPWZAPi5CknNLE9Un2SgGdBCDOLAcKrm", HashProblem::Malformed),
        ("bcrypt$$2b$04$un3M", HashProblem::Malformed),
        ("scrypt$1073741824$salt$8$5$i48YJCJI8YPYUEuuJAJBIw==", HashProblem::TooCostly),
        ("scrypt$63$salt$8$5$i48YJCJI8YPYUEuuJAJBIw==", HashProblem::Malformed),
    ] {
        assert_eq!(PasswordHash::parse(stored).err(), Some(problem), "{stored}");
    }
}

#[test]
fn our_own_hash_is_read_back() {
    let stored = hash(b"secret").unwrap();
    assert!(stored.starts_with("argon2$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
    assert_ne!(hash(b"secret"), Some(stored.clone()), "each has a salt of its own");
    let hash = PasswordHash::parse(&stored).unwrap();
    let mut memory = HashMemory::default();
    assert!(hash.verify(b"secret", &mut memory) && !hash.verify(b"Secret", &mut memory));
    assert_eq!(own_decoy().method, hash.method);
}

#[test]
fn what_costs_less_than_it_should_is_known_and_what_does_not_is_left() {
    let method = |stored: &str| PasswordHash::parse(stored).unwrap().method;
    for (stored, norm) in [
        (STORED[0], "Pbkdf2 { sha: Two256, rounds: 1000000 }"),
        (STORED[1], "Pbkdf2 { sha: One, rounds: 1000000 }"),
        (STORED[2], "memory_kib: 102400, passes: 2, lanes: 8 }"),
        (STORED[3], "Bcrypt { cost: 12, before: Sha256 }"),
        (STORED[4], "Bcrypt { cost: 12, before: Nothing }"),
        (STORED[5], "Scrypt { log_n: 14, block: 8, lanes: 5 }"),
    ] {
        let stronger = method(stored).stronger(Norm::Django).unwrap();
        assert!(format!("{stronger:?}").ends_with(norm), "{stored}: {stronger:?}");
        assert_eq!(stronger.stronger(Norm::Django), None, "{stored}");
        assert_eq!(method(stored).stronger(Norm::Own), Some(OWN), "{stored}");
    }
    assert_eq!(OWN.stronger(Norm::Own), None);
    let dear = STORED[0].replace("$2000$", "$2000000$");
    assert_eq!(method(&dear).stronger(Norm::Django), None, "a project may ask for more");
}

#[test]
fn hashes_are_written_as_django_writes_them() {
    for stored in STORED {
        let (before, _) = stored.split_at(stored.find('$').unwrap());
        let original = PasswordHash::parse(stored).unwrap();
        let written = original.method.hash("pässword 1".as_bytes(), &mut HashMemory::default()).unwrap();
        assert!(written.starts_with(&format!("{before}$")) && written.len() <= 128, "{written}");
        assert_eq!(written.split('$').count(), stored.split('$').count(), "{written}");
        let hash = PasswordHash::parse(&written).unwrap();
        // Django compares the whole of it with what it derives, as long as it derives it.
        assert_eq!(hash.digest.len(), original.digest.len(), "{written}");
        // It hashes anew what has less salt than its own.
        assert_eq!(hash.salt.len(), original.salt.len(), "{written}");
        let verify = |password: &[u8]| hash.verify(password, &mut HashMemory::default());
        assert!(verify("pässword 1".as_bytes()) && !verify(b"another"), "{written}");
    }
}
