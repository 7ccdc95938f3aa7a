//! `module:callable` to app.

use super::asgi::{Asgi, Detected, detect};
use super::wsgi::Wsgi;
use super::{Loaded, Options, describe, end_if_child, leave_worker_in_forks, streams};
use crate::app::App;
use crate::app::calls::CallQueue;
use crate::config::RequestContent;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Loads `module:callable`, `module:factory()` (with literals as arguments, if it has any) or a bare `module` (`application`, then `app`), unless it is loaded already.
///
/// # Errors
/// What the operator should read: the traceback of the import, or what is wrong with the name.
pub fn load(
    target: &str,
    options: &Options<'_>,
    calls: Arc<CallQueue>,
    loaded: Option<&Loaded>,
) -> Result<Arc<dyn App>, String> {
    Python::attach(|py| {
        let found = loaded.and_then(|loaded| loaded.find(py, target));
        if found.is_none() {
            prepare(py, options.path).map_err(|error| explained(py, &error, target))?;
        }
        streams::capture(py, options).map_err(|error| describe(py, &error))?;
        let app = found.map_or_else(|| find(py, target), Ok)?;
        if target == DJANGO_PROJECT && options.slot == FIRST_SLOT {
            say_what_is_served(py).map_err(|error| describe(py, &error))?;
        }
        let detected = detect(app, options.interface).map_err(|error| describe(py, &error))?;
        if let Some(misfit) = misfit(py, target, &detected) {
            return Err(misfit);
        }
        match detected {
            Detected::Wsgi(_) if options.content == RequestContent::Stream => Err(format!(
                "{target} is a WSGI app, and app.request_content = \"stream\" is for ASGI apps; remove it there"
            )),
            Detected::Wsgi(app) => {
                let wsgi =
                    Wsgi::new(py, app.unbind(), options, calls).map_err(|error| describe(py, &error))?;
                Ok(Arc::new(wsgi) as Arc<dyn App>)
            }
            Detected::Asgi(app) => {
                Ok(Arc::new(Asgi::new(py, (target, app), options, calls)?) as Arc<dyn App>)
            }
        }
    })
}

/// Tells which of its apps a Django project has been found to be served by.
fn say_what_is_served(py: Python<'_>) -> PyResult<()> {
    let app: String = py.import("ferricorn.django_project")?.getattr("served")?.extract()?;
    tracing::info!(app, "the project's settings say what is served");
    Ok(())
}

/// Makes the interpreter ready for apps: their environment, their output, where their code is.
pub(super) fn prepare(py: Python<'_>, path: &[PathBuf]) -> PyResult<()> {
    // First of all: whatever is imported may fork.
    leave_worker_in_forks(py)?;
    adopt_environment(py)?;
    run_site(py)?;
    streams::write_line_by_line(py)?;
    extend_path(py, path)
}

/// The directory of the interpreter and what is installed beside it.
pub fn programs() -> Option<PathBuf> {
    Python::attach(|py| {
        let executable: PathBuf = py.import("sys").ok()?.getattr("executable").ok()?.extract().ok()?;
        executable.parent().filter(|directory| directory.is_absolute()).map(Path::to_owned)
    })
}

/// Runs what `site` would have run at the start of the interpreter (`sitecustomize`, `.pth` files), where the master was started
/// without it because that begins threads: see `python/ferricorn/__main__.py`.
fn run_site(py: Python<'_>) -> PyResult<()> {
    let flags = py.import("sys")?.getattr("flags")?;
    let modules = py.import("sys")?.getattr("modules")?;
    if !flags.getattr("no_site")?.is_truthy()? || modules.contains("site")? {
        return Ok(());
    }
    py.import("site")?.call_method0("main").map(drop)
}

/// Gives `os.environ` the variables of this process, which it read before the app's own were set and before the master
/// took out what is meant for itself alone.
fn adopt_environment(py: Python<'_>) -> PyResult<()> {
    let environ = py.import("os")?.getattr("environ")?;
    for (name, value) in std::env::vars_os() {
        if !environ.call_method1("get", (&name,))?.eq(&value)? {
            environ.set_item(&name, &value)?;
        }
    }
    for name in environ.call_method0("keys")?.try_iter()?.collect::<PyResult<Vec<_>>>()? {
        if std::env::var_os(name.extract::<OsString>()?).is_none() {
            environ.del_item(name)?;
        }
    }
    Ok(())
}

/// The working directory first, as if the program had been started by `python -m` there.
///
/// What the interpreter remembers of directories may be older than a symbolic link on the way to them.
fn extend_path(py: Python<'_>, directories: &[PathBuf]) -> PyResult<()> {
    let path = py.import("sys")?.getattr("path")?.cast_into::<PyList>()?;
    let working = std::env::current_dir()?;
    for (index, directory) in std::iter::once(&working).chain(directories).enumerate() {
        // As str: the import system passes over the pathlib.Path that a Path would become.
        let directory = directory.as_os_str();
        if !path.contains(directory)? {
            path.insert(index, directory)?;
        }
    }
    py.import("importlib")?.call_method0("invalidate_caches")?;
    Ok(())
}

/// The traceback of an import, and what to do about it where that is known.
fn cannot_import(py: Python<'_>, module: &str, error: &PyErr) -> String {
    format!("cannot import {module}:\n{}", explained(py, error, module))
}

/// What has kept an app from being loaded, and what to do about it where that is known.
fn explained(py: Python<'_>, error: &PyErr, module: &str) -> String {
    let advice = hints(py).and_then(|hints| hints.call_method1("hint", (error.value(py), module))?.extract());
    let advice: Option<String> = advice.unwrap_or_default();
    let advice = advice.map_or_else(String::new, |advice| format!("\nhint: {advice}"));
    format!("{}{advice}", describe(py, error))
}

/// What of a module could be meant instead.
fn others(py: Python<'_>, module: &Bound<'_, PyAny>) -> String {
    let found = hints(py).and_then(|hints| hints.call_method1("callables", (module,))?.extract());
    let found: Vec<String> = found.unwrap_or_default();
    if found.is_empty() { String::new() } else { format!("; there is {}", found.join(", ")) }
}

/// Why a function can be no app: it cannot be called as its interface calls apps, as where a factory is named in their place.
fn misfit(py: Python<'_>, target: &str, detected: &Detected<'_>) -> Option<String> {
    let (app, arguments) = match detected {
        Detected::Wsgi(app) => (app, ["environ", "start_response"].as_slice()),
        Detected::Asgi(app) => (app, ["scope", "receive", "send"].as_slice()),
    };
    let found = hints(py).and_then(|hints| hints.call_method1("misfit", (app, target, arguments)));
    found.and_then(|found| found.extract()).unwrap_or_default()
}

fn hints(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    let code = pyo3::ffi::c_str!(include_str!("import_hint.py"));
    PyModule::from_code(py, code, c"<ferricorn: import_hint.py>", c"ferricorn.import_hint")
}

/// The callable that a target names.
pub(super) fn find<'py>(py: Python<'py>, target: &str) -> Result<Bound<'py, PyAny>, String> {
    let found = import(py, target);
    end_if_child();
    found
}

fn import<'py>(py: Python<'py>, target: &str) -> Result<Bound<'py, PyAny>, String> {
    let (module_name, attribute) = match target.split_once(':') {
        Some((module, attribute)) => (module, Some(attribute)),
        None => (target, None),
    };
    let module = py.import(module_name).map_err(|error| cannot_import(py, module_name, &error))?;
    let app = match attribute {
        Some(attribute) => named(py, (module_name, module.as_any()), attribute)?,
        None => ["application", "app"].into_iter().find_map(|name| module.getattr(name).ok()).ok_or_else(
            || {
                format!(
                    "{module_name} has neither application nor app; name the callable: {module_name}:NAME{}",
                    others(py, module.as_any())
                )
            },
        )?,
    };
    if !app.is_callable() {
        let kind = app.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
        return Err(format!("{target} is of type {kind}, which cannot be called; an app is a callable"));
    }
    Ok(app)
}

fn named<'py>(
    py: Python<'py>,
    (module_name, module): (&str, &Bound<'py, PyAny>),
    attribute: &str,
) -> Result<Bound<'py, PyAny>, String> {
    let call = attribute.strip_suffix(')').and_then(|call| call.split_once('('));
    let (path, given) = call.map_or((attribute, None), |(path, given)| (path, Some(given)));
    let mut object = module.clone();
    for name in path.split('.') {
        object = object
            .getattr(name)
            .map_err(|error| format!("cannot find the app: {}{}", error.value(py), others(py, module)))?;
    }
    if let Some(given) = given {
        object = called(py, &object, given)
            .map_err(|error| format!("{attribute} failed:\n{}", explained(py, &error, module_name)))?;
    }
    Ok(object)
}

/// What a factory returns that is called with what stands between its parentheses.
fn called<'py>(py: Python<'py>, factory: &Bound<'py, PyAny>, given: &str) -> PyResult<Bound<'py, PyAny>> {
    if given.is_empty() {
        return factory.call0();
    }
    let code = pyo3::ffi::c_str!(include_str!("arguments.py"));
    let code = PyModule::from_code(py, code, c"<ferricorn: arguments.py>", c"ferricorn.arguments")?;
    let arguments = code.call_method1("arguments", (given,))?;
    let (positional, named): (Bound<'py, PyTuple>, Bound<'py, PyDict>) = arguments.extract()?;
    factory.call(positional, Some(&named))
}

/// The app of a Django project that nobody has named (`config/discover.rs`).
const DJANGO_PROJECT: &str = "ferricorn.django_project:application()";
/// One worker says it for all.
const FIRST_SLOT: u16 = 1;
