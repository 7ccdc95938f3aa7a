//! The unsafe calls into CPython: fork hooks and fast paths.
#![expect(unsafe_code, reason = "CPython's C functions; each call is argued where it stands")]

use crate::sys::arenas;
use crate::sys::fork::{ForkHooks, OtherThreads};
use crate::sys::libuv::{Guest, Left, Waited};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::string::PyStringData;
use pyo3::types::{PyBytes, PyString, PyStringMethods, PyType};
use std::ffi::c_void;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::ptr::{self, NonNull};

/// What CPython wants done around a fork (`PyOS_BeforeFork` and its companions).
///
/// The master runs inside the interpreter with the interpreter's lock held, as they demand.
pub fn fork_hooks() -> ForkHooks {
    ForkHooks { before, parent, child, waiting, other_threads: OtherThreads::Tolerated }
}

fn before() {
    // SAFETY: the calling thread holds the interpreter's lock.
    unsafe { ffi::PyOS_BeforeFork() }
}

fn parent() {
    // SAFETY: the calling thread holds the interpreter's lock; `before` ran before.
    unsafe { ffi::PyOS_AfterFork_Parent() }
}

fn child() {
    super::metrics::leave_to_parent();
    // SAFETY: the one thread of the child holds the interpreter's lock; `before` ran before.
    unsafe { ffi::PyOS_AfterFork_Child() }
}

fn waiting(run: &mut (dyn FnMut() + Send)) {
    super::without_interpreter(run);
}

/// Bytes as the "native string" of PEP 3333: each byte is the code point of the same number.
pub(super) fn native_string<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    let length = ffi::Py_ssize_t::try_from(bytes.len())?;
    // SAFETY: the pointer is valid for `length` bytes and the interpreter's lock is held (`py`).
    let object = unsafe { ffi::PyUnicode_DecodeLatin1(bytes.as_ptr().cast(), length, ptr::null()) };
    // SAFETY: the function gives a new reference or sets an exception.
    let object = unsafe { Bound::from_owned_ptr_or_err(py, object) }?;
    // SAFETY: a successful call gives a str.
    Ok(unsafe { object.cast_into_unchecked() })
}

/// The bytes that a native string stands for (PEP 3333); `None` where it has a character that is no byte.
pub(super) fn native_bytes<'a>(text: &'a Bound<'_, PyString>) -> PyResult<Option<&'a [u8]>> {
    // SAFETY: the interpreter's lock is held (`Bound`); a str never changes, and lives for as long as it is borrowed.
    match unsafe { text.data() }? {
        PyStringData::Ucs1(bytes) => Ok(Some(bytes)),
        PyStringData::Ucs2(_) | PyStringData::Ucs4(_) => Ok(None),
    }
}

/// Content as an object of Python, which can be too long for the memory there is: the app's `MemoryError`, not a panic.
pub(super) fn bytes<'py>(py: Python<'py>, content: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let length = ffi::Py_ssize_t::try_from(content.len())?;
    // SAFETY: the pointer is valid for `length` bytes, which are copied, and the interpreter's lock is held (`py`).
    let object = unsafe { ffi::PyBytes_FromStringAndSize(content.as_ptr().cast(), length) };
    // SAFETY: the function gives a new reference or sets an exception.
    let object = unsafe { Bound::from_owned_ptr_or_err(py, object) }?;
    // SAFETY: a successful call gives bytes.
    Ok(unsafe { object.cast_into_unchecked() })
}

/// The calling thread, as the interpreter names it.
pub(super) fn thread_ident() -> u64 {
    // SAFETY: it asks the system for the calling thread, and needs nothing.
    unsafe { ffi::PyThread_get_thread_ident() }
}

/// Has a thread raise this exception at its next step of Python code, or takes back what has not been raised.
pub(super) fn set_async_exception(_: Python<'_>, ident: u64, exception: Option<&Bound<'_, PyType>>) {
    let exception = exception.map_or(ptr::null_mut(), Bound::as_ptr);
    // SAFETY: the interpreter's lock is held; the exception is a live object, of which the function makes a reference of
    // its own, or null. A thread that is not there is nobody.
    unsafe { ffi::PyThreadState_SetAsyncExc(ident.cast_signed(), exception) };
}

/// How many references to an object there are.
pub(super) fn references<T>(object: &Bound<'_, T>) -> isize {
    // SAFETY: the pointer is that of a live object and the interpreter's lock is held (`Bound`).
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}

/// Calls something without arguments in a context (`contextvars`), as `Context.run` does.
pub(super) fn call_in_context<'py>(
    py: Python<'py>,
    context: &Bound<'py, PyAny>,
    callable: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the interpreter's lock is held (`py`); what is no context is refused with an exception.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } != 0 {
        return Err(PyErr::fetch(py));
    }
    let outcome = callable.call0();
    // SAFETY: as above; it is the context that was entered last, on this thread.
    if unsafe { ffi::PyContext_Exit(context.as_ptr()) } != 0 {
        return Err(PyErr::fetch(py));
    }
    outcome
}

/// Has the memory of small objects lie side by side from now on (`sys::arenas`).
///
/// What there is stays where it is, and goes back to where it came from.
pub fn lay_arenas_together() {
    let none = ffi::PyObjectArenaAllocator { ctx: ptr::null_mut(), alloc: None, free: None };
    Python::attach(|_| {
        // For the life of the process, as the interpreter's memory.
        let before = Box::leak(Box::new(none));
        // SAFETY: the interpreter's lock is held; the structure is written, and lives on.
        unsafe { ffi::PyObject_GetArenaAllocator(before) };
        let ctx = ptr::from_mut(before).cast();
        let mut together =
            ffi::PyObjectArenaAllocator { ctx, alloc: Some(take_arena), free: Some(give_arena_back) };
        // SAFETY: the interpreter's lock is held. The structure is copied; its functions give memory as mmap(2) does, and take
        // back what the allocator before them has given, too.
        unsafe { ffi::PyObject_SetArenaAllocator(&raw mut together) };
    });
}

extern "C" fn take_arena(before: *mut c_void, size: usize) -> *mut c_void {
    if let Some(arena) = arenas::take(size) {
        return arena.as_ptr();
    }
    // SAFETY: it is what `lay_arenas_together` has leaked, and nobody writes to it any more.
    let before = unsafe { &*before.cast::<ffi::PyObjectArenaAllocator>() };
    before.alloc.map_or(ptr::null_mut(), |take| take(before.ctx, size))
}

extern "C" fn give_arena_back(before: *mut c_void, arena: *mut c_void, size: usize) {
    // SAFETY: the interpreter has it no more.
    if NonNull::new(arena).is_some_and(|arena| unsafe { arenas::give_back(arena) }) {
        return;
    }
    // SAFETY: as in `take_arena`.
    let before = unsafe { &*before.cast::<ffi::PyObjectArenaAllocator>() };
    if let Some(give_back) = before.free {
        give_back(before.ctx, arena, size);
    }
}

/// Takes over a descriptor that Python code has just made.
pub(super) fn own_descriptor(descriptor: i32) -> OwnedFd {
    // SAFETY: `os.dup` gave it to the caller, and nobody else knows of it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Has `wait` called in place of each wait of uvloop's event loop, of which `capsule` has the address.
pub(super) fn wait_for_uvloop(
    library: &Path,
    capsule: &Bound<'_, PyAny>,
    wait: impl Fn(Python<'_>, Left<'_>) -> Waited + 'static,
) -> PyResult<Guest> {
    let wait = Box::new(move |left: Left<'_>| {
        let _locked = Locked::take();
        Python::attach(|py| wait(py, left))
    });
    // SAFETY: what is no capsule, or one with a name, is refused with an exception.
    let uv_loop = unsafe { ffi::PyCapsule_GetPointer(capsule.as_ptr(), ptr::null()) };
    let Some(uv_loop) = NonNull::new(uv_loop) else { return Err(PyErr::fetch(capsule.py())) };
    // SAFETY: `libuv_get_loop_t_ptr` of the module in `library` has made the capsule; the loop belongs to this thread,
    // and is closed behind `Guest::end`.
    Ok(unsafe { Guest::enter(library, uv_loop, wait) }?)
}

/// The interpreter's lock, where C code of another extension has let go of it on this very thread.
///
/// pyo3 does not know that, and takes a thread that has it for one that still has it.
struct Locked(ffi::PyGILState_STATE);

impl Locked {
    fn take() -> Self {
        // SAFETY: the interpreter is there: it has called what has called this.
        Self(unsafe { ffi::PyGILState_Ensure() })
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: it was taken on this thread, since a guard is not sent, and is given back once.
        unsafe { ffi::PyGILState_Release(self.0) };
    }
}
