//! The Python objects that every call needs, used again where the app has kept none of them.

use super::ffi::references;
use super::input::Input;
use super::outgoing::Way;
use super::start_response::StartResponse;
use crate::protocol::Content;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::PyDict;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

/// Kits kept: as many as calls are made at once by all but very large workers.
const KITS_MAX: usize = 16;

/// Kits that no call uses at present.
#[derive(Default)]
pub(super) struct Kits {
    spare: Mutex<Vec<Kit>>,
}

/// What one call needs.
pub(super) struct Kit {
    /// The state behind `start_response`.
    state: Py<StartResponse>,
    /// What the app calls.
    start_response: Py<PyAny>,
    /// What the app gets for it.
    write: Py<PyAny>,
    /// `wsgi.early_hints`
    early_hints: Py<PyAny>,
    input: Py<Input>,
    /// What environs begin with whose connections were accepted on this address, the kit's own objects among it.
    template: Option<(SocketAddr, Py<PyDict>)>,
    /// Whether it has been in a call.
    is_used: bool,
}

impl Kits {
    /// A kit as good as new, for a call whose response can begin this way.
    pub(super) fn take(&self, py: Python<'_>, way: Way) -> PyResult<Kit> {
        let spare = self.spare.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner).pop();
        let kit = spare.map_or_else(|| Kit::new(py), Ok)?;
        let mut said = kit.said().lock();
        said.write = Some(kit.write.clone_ref(py));
        said.way = Some(way);
        drop(said);
        Ok(kit)
    }

    /// Takes a kit back after its call. What the app still refers to belongs to the app.
    pub(super) fn give_back(&self, py: Python<'_>, kit: Kit) {
        kit.forget_said();
        if kit.is_ours_alone(py) {
            // Only now: an app may go on reading what it has kept.
            kit.input.get().fill(Content::Empty);
            let mut spare = self.spare.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
            if spare.len() < KITS_MAX {
                spare.push(kit);
            }
        }
    }
}

impl Kit {
    pub(super) fn new(py: Python<'_>) -> PyResult<Self> {
        let state = Bound::new(py, StartResponse::default())?;
        let start_response = state.getattr(intern!(py, "start_response"))?.unbind();
        let write = state.getattr(intern!(py, "write"))?.unbind();
        let early_hints = state.getattr(intern!(py, "early_hints"))?.unbind();
        let input = Py::new(py, Input::default())?;
        let state = state.unbind();
        Ok(Self { state, start_response, write, early_hints, input, template: None, is_used: false })
    }

    /// What the app has said.
    pub(super) fn said(&self) -> &StartResponse {
        self.state.get()
    }

    /// What the app is given to call.
    pub(super) fn start_response<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.start_response.bind(py)
    }

    /// A new environ with the kit's own objects. `base` makes what else one begins with, which is the same for connections
    /// accepted on the same address.
    pub(super) fn environ<'py>(
        &mut self,
        py: Python<'py>,
        address: Option<SocketAddr>,
        base: impl FnOnce() -> PyResult<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        if let Some((known, template)) = &self.template
            && Some(*known) == address
        {
            return template.bind(py).copy();
        }
        let environ = base()?;
        environ.set_item(intern!(py, "wsgi.input"), &self.input)?;
        environ.set_item(intern!(py, "wsgi.early_hints"), &self.early_hints)?;
        // Behind its first call: that of an app which keeps all environs would be its last.
        let has_come_back = std::mem::replace(&mut self.is_used, true);
        if let Some(address) = address.filter(|_| has_come_back && self.template.is_none()) {
            self.template = Some((address, environ.copy()?.unbind()));
        }
        Ok(environ)
    }

    /// What the app is given to read.
    pub(super) fn input<'py>(&self, py: Python<'py>) -> &Bound<'py, Input> {
        self.input.bind(py)
    }

    /// Lets go of what the app has said, and of `write`: the state and its method would keep each other alive.
    fn forget_said(&self) {
        // Dropped after the lock has been let go.
        let _said = std::mem::take(&mut *self.said().lock());
    }

    /// Whether nobody else refers to any of the objects: then nobody ever can.
    fn is_ours_alone(&self, py: Python<'_>) -> bool {
        let in_template = isize::from(self.template.is_some());
        // The kit's own, and those of the three methods.
        references(self.state.bind(py)) == 4
            && references(self.early_hints.bind(py)) == 1 + in_template
            && references(self.start_response.bind(py)) == 1
            && references(self.write.bind(py)) == 1
            && references(self.input.bind(py)) == 1 + in_template
    }
}

impl Drop for Kit {
    fn drop(&mut self) {
        self.forget_said();
    }
}
