//! The users of a Django project, asked of the project itself: its backends, its signals, its lock-out apps.

use crate::auth::store::StoreError;
use crate::auth::users::{AppUsers, User};
use crate::config::Auth;
use pyo3::prelude::*;
use serde_json::Value;
use std::net::IpAddr;
use std::sync::Arc;

/// The functions of `users.py`.
#[derive(Debug)]
struct PythonUsers {
    module: Py<PyModule>,
    /// The field that tokens name users by.
    id_column: String,
    /// Claims, and the attributes that they are made of, in one order.
    claims: Vec<String>,
    attributes: Vec<String>,
}

/// The users of the project that the apps of this interpreter have set up.
///
/// # Errors
/// Why there are none.
pub fn users(auth: &Auth) -> Result<Arc<dyn AppUsers>, String> {
    let code = pyo3::ffi::c_str!(include_str!("users.py"));
    let id_column = auth.users.id_column.clone();
    let (module, problem) = Python::attach(|py| {
        let module = PyModule::from_code(py, code, c"<ferricorn: users.py>", c"ferricorn.users");
        let asked = module.and_then(|module| {
            let problem: Option<String> = module.call_method1("problem_of", (&id_column,))?.extract()?;
            Ok((module.unbind(), problem))
        });
        asked.map_err(|error| super::describe(py, &error))
    })?;
    if let Some(problem) = problem {
        return Err(format!(
            "{problem}; name a unique field in auth.users.id_column, or \"id\", the primary key"
        ));
    }
    let extra = auth.issue.extra_claims.iter();
    let (claims, attributes) = extra.map(|(claim, name)| (claim.clone(), name.clone())).unzip();
    Ok(Arc::new(PythonUsers { module, id_column, claims, attributes }))
}

/// Id, hash of the password, whether it is active, further attributes as JSON.
type Described = Option<(String, String, bool, String)>;

impl PythonUsers {
    fn ask<T>(&self, question: impl FnOnce(&Bound<'_, PyModule>) -> PyResult<T>) -> Result<T, StoreError> {
        Python::attach(|py| {
            question(self.module.bind(py)).map_err(|error| {
                tracing::error!(
                    traceback = super::describe(py, &error),
                    "the project cannot say who its users are"
                );
                StoreError::Unavailable("the project cannot say who its users are".into())
            })
        })
    }

    fn user(&self, described: Described) -> Option<User> {
        let (id, password, active, more) = described?;
        let values: Vec<Value> = serde_json::from_str(&more).unwrap_or_default();
        Some(User { id, password, active, extra: self.claims.iter().cloned().zip(values).collect() })
    }
}

impl AppUsers for PythonUsers {
    fn authenticate(
        &self,
        name: &str,
        password: &str,
        from: Option<IpAddr>,
    ) -> Result<Option<User>, StoreError> {
        let address = from.map(|from| from.to_string()).unwrap_or_default();
        let described: Described = self.ask(|module| {
            let arguments = (name, password, address, &self.id_column, &self.attributes);
            module.call_method1("authenticate", arguments)?.extract()
        })?;
        Ok(self.user(described))
    }

    fn find(&self, id: &str) -> Result<Option<User>, StoreError> {
        let described: Described = self
            .ask(|module| module.call_method1("find", (id, &self.id_column, &self.attributes))?.extract())?;
        Ok(self.user(described))
    }

    fn is_blacklisted(&self, jti: &str) -> Result<bool, StoreError> {
        self.ask(|module| module.call_method1("is_blacklisted", (jti,))?.extract())
    }
}
