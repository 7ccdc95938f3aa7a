//! What a loaded Django project says of its static files.

use crate::app::collected::Collection;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;

/// The collected files of the project in this interpreter; `None` without Django, with DEBUG on (what was collected
/// may be older than what is in the apps' own folders then) or without STATIC_ROOT.
pub fn collection() -> Option<Collection> {
    Python::attach(|py| match read(py) {
        Ok(collection) => collection,
        Err(error) => {
            tracing::warn!(
                traceback = super::describe(py, &error),
                "Django's settings could not be read; the site is served without its static files (python.static)"
            );
            None
        }
    })
}

/// Has a Django project in this interpreter, which is about to be forked, do what would otherwise be each worker's own: it
/// imports its views and what they need, which makes their memory shared, and closes its database connections, which must not be.
pub(super) fn complete(py: Python<'_>) -> PyResult<()> {
    let modules = py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?;
    // Looked up, never imported: an app that does not use Django must not get it.
    let Some(conf) = modules.get_item("django.conf")? else { return Ok(()) };
    let settings = conf.getattr("settings")?;
    if !settings.getattr("configured")?.is_truthy()? {
        // Some library has imported parts of Django (sentry_sdk does where it is installed): there is no project.
        return Ok(());
    }
    if settings.hasattr("ROOT_URLCONF")? {
        // django/core/handlers/base.py resolves each request by this very resolver.
        let resolver = py.import("django.urls")?.call_method0("get_resolver")?;
        resolver.getattr("url_patterns")?;
        resolver.getattr("reverse_dict")?;
        ahead(py)?.call_method1("build", (&settings,))?;
    }
    match modules.get_item("django.db")? {
        Some(db) => db.getattr("connections")?.call_method0("close_all").map(drop),
        None => Ok(()),
    }
}

fn ahead(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    let code = pyo3::ffi::c_str!(include_str!("django_ahead.py"));
    PyModule::from_code(py, code, c"<ferricorn: django_ahead.py>", c"ferricorn.django_ahead")
}

fn read(py: Python<'_>) -> PyResult<Option<Collection>> {
    let modules = py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?;
    // Looked up, never imported: an app that does not use Django must not get it.
    let Some(conf) = modules.get_item("django.conf")? else { return Ok(None) };
    let settings = conf.getattr("settings")?;
    if !settings.getattr("configured")?.is_truthy()? || settings.getattr("DEBUG")?.is_truthy()? {
        return Ok(None);
    }
    let Some(root) = path(&settings, "STATIC_ROOT")? else { return Ok(None) };
    let url = settings.getattr("STATIC_URL")?;
    if url.is_none() {
        return Ok(None);
    }
    // A project that calls settings.configure() has no such module.
    let module = settings.getattr("SETTINGS_MODULE").ok().and_then(|name| name.extract::<String>().ok());
    let file = match module {
        Some(name) => modules.get_item(name)?.and_then(|module| module.getattr("__file__").ok()),
        None => None,
    };
    Ok(Some(Collection {
        url: url.str()?.to_string(),
        root,
        media: path(&settings, "MEDIA_ROOT")?,
        settings: file.and_then(|file| file.extract().ok()),
    }))
}

/// A setting that is a path, as str or pathlib.Path; `None` when it is unset or empty.
fn path(settings: &Bound<'_, PyAny>, name: &str) -> PyResult<Option<PathBuf>> {
    let value = settings.getattr(name)?;
    if value.is_none() {
        return Ok(None);
    }
    let path: PathBuf = value.extract()?;
    Ok(Some(path).filter(|path| !path.as_os_str().is_empty()))
}
