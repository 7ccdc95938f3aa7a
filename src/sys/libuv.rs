//! A wait of ours in the event loop of libuv, which somebody else runs.
//!
//! libuv waits in epoll_wait(2) and knows no other way. It says, however, how long it is about to wait, and gives a
//! descriptor that is readable when there is something for it (`uv_backend_timeout`, `uv_backend_fd`: the way to embed
//! it that its manual names). So a prepare handle, which libuv calls right before it waits, waits in its place; and an
//! idle handle, started after that, keeps libuv from waiting once more.
//!
//! What has been begun meanwhile may need the loop to turn: a descriptor is put into the backend's epoll only then, and
//! check handles are called. libuv knows of the former; the latter are asked.

use nix::libc;
use std::ffi::{CStr, CString, c_int, c_void};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr::NonNull;
use std::thread::ThreadId;
use std::time::Duration;

/// What is called in place of a wait.
pub type Wait = Box<dyn Fn(Left<'_>) -> Waited>;

/// How long a wait may last.
#[derive(Clone, Copy)]
pub struct Left<'a>(&'a Place);

impl Left<'_> {
    /// As of now; `None`: until there is something. Zero where the loop has to turn.
    pub fn ask(self) -> Option<Duration> {
        let Place { uv, uv_loop, checks, .. } = self.0;
        // SAFETY: the handles are those of the loop that waits, and the thread is its own.
        let is_checked = |check: &Handle| unsafe { (uv.is_active)(check.pointer()) } != 0;
        // A loop without any is not the one that this was written for: there is no telling what it has to do.
        if checks.is_empty() || checks.iter().any(is_checked) {
            return Some(Duration::ZERO);
        }
        // SAFETY: the loop is the one that waits, and the thread is its own.
        unsafe { (uv.update_time)(uv_loop.as_ptr()) };
        // SAFETY: as above.
        let left_ms = unsafe { (uv.backend_timeout)(uv_loop.as_ptr()) };
        // It says -1 where there is no limit.
        u64::try_from(left_ms).ok().map(Duration::from_millis)
    }
}

impl fmt::Debug for Left<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Left").field(&self.ask()).finish()
    }
}

/// What has become of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// It is over: libuv looks for what there is, and goes on.
    Here,
    /// libuv has to wait by itself.
    NotAtAll,
}

/// A wait in place of libuv's.
pub struct Guest {
    place: &'static Place,
    thread: ThreadId,
}

// SAFETY: what it points to is used by the thread that has made it, which `end` asks for, and by no other.
unsafe impl Send for Guest {}
// SAFETY: as above.
unsafe impl Sync for Guest {}

/// What the callbacks find. It stays as long as the process, since libuv may look at its handles until the loop is closed.
struct Place {
    uv: Library,
    uv_loop: NonNull<c_void>,
    prepare: Handle,
    idle: Handle,
    /// The loop's own handles that are called once it has looked for descriptors, if they are active.
    checks: Vec<Handle>,
    wait: Wait,
}

impl Guest {
    /// Has `wait` called in place of each wait of a loop, on the loop's thread.
    ///
    /// # Safety
    /// `uv_loop` is a `uv_loop_t` of the libuv that is in `library` (or which that is linked to), it lives until the
    /// process ends or the guest has ended and the loop is closed, and the calling thread is the one that runs it.
    ///
    /// # Errors
    /// When there is no libuv to be found there, or it refuses.
    pub unsafe fn enter(library: &Path, uv_loop: NonNull<c_void>, wait: Wait) -> io::Result<Self> {
        let uv = Library::open(library)?;
        let mut handles: Vec<Handle> = Vec::new();
        // SAFETY: the loop is one, by the caller's word; the callback gets the vector, which outlives the walk.
        unsafe { (uv.walk)(uv_loop.as_ptr(), note_handle, (&raw mut handles).cast()) };
        // SAFETY: the loop has given them, and each begins so.
        handles.retain(|handle| unsafe { handle.0.cast::<Beginning>().read() }.kind == CHECK);
        let (prepare, idle) = (uv.handle(PREPARE), uv.handle(IDLE));
        let place = Place { prepare, idle, checks: handles, uv, uv_loop, wait };
        let place: &'static mut Place = Box::leak(Box::new(place));
        let (prepare, idle) = (place.prepare.pointer(), place.idle.pointer());
        let place: &'static Place = place;
        let uv_loop = uv_loop.as_ptr();
        // SAFETY: the loop is one, by the caller's word; the handle is as large as libuv asks for, and stays.
        succeed(unsafe { (place.uv.prepare_init)(uv_loop, prepare) })?;
        // SAFETY: as above.
        succeed(unsafe { (place.uv.idle_init)(uv_loop, idle) })?;
        // SAFETY: each handle begins with what is the user's own.
        unsafe { prepare.cast::<&'static Place>().write(place) };
        // SAFETY: the handle was initialised; libuv calls back from within the loop, while the handle is active.
        succeed(unsafe { (place.uv.prepare_start)(prepare, before_wait) })?;
        // Neither keeps the loop alive by being there.
        for handle in [prepare, idle] {
            // SAFETY: both were initialised.
            unsafe { (place.uv.unref)(handle) };
        }
        Ok(Self { place, thread: std::thread::current().id() })
    }

    /// Takes the wait out of the loop, before that is closed; on the loop's thread, and anywhere else it does nothing.
    pub fn end(&self) {
        if std::thread::current().id() != self.thread {
            return;
        }
        for handle in [&self.place.prepare, &self.place.idle] {
            // SAFETY: the handle was initialised, and its memory stays.
            if unsafe { (self.place.uv.is_closing)(handle.pointer()) } == 0 {
                // SAFETY: the loop is not closed before the guest has ended; the callback may be null (uv_close).
                unsafe { (self.place.uv.close)(handle.pointer(), None) };
            }
        }
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").finish_non_exhaustive()
    }
}

/// Called by libuv, right before it waits.
extern "C" fn before_wait(prepare: *mut c_void) {
    // SAFETY: `enter` has put it there, and it stays.
    let place = unsafe { prepare.cast::<&'static Place>().read() };
    let idle = place.idle.pointer();
    // SAFETY: the handle was initialised, and this is the loop's thread. Stopping one that is stopped is nothing.
    unsafe { (place.uv.idle_stop)(idle) };
    // Nothing may unwind into C.
    let waited = catch_unwind(AssertUnwindSafe(|| (place.wait)(Left(place)))).unwrap_or(Waited::NotAtAll);
    if waited == Waited::Here {
        // SAFETY: as above; the callback does nothing.
        unsafe { (place.uv.idle_start)(idle, nothing) };
    }
}

extern "C" fn nothing(_: *mut c_void) {}

/// Called by libuv for each handle of a loop.
extern "C" fn note_handle(handle: *mut c_void, handles: *mut c_void) {
    // SAFETY: `enter` gives a vector of them to the walk, and nobody else has it meanwhile.
    let handles = unsafe { &mut *handles.cast::<Vec<Handle>>() };
    handles.extend(NonNull::new(handle).map(Handle));
}

/// How each handle begins (uv.h, UV_HANDLE_FIELDS); the function that says the kind is not in all builds.
#[repr(C)]
#[derive(Clone, Copy)]
struct Beginning {
    _data: *mut c_void,
    _uv_loop: *mut c_void,
    kind: c_int,
}

/// One of libuv's handles.
struct Handle(NonNull<c_void>);

impl Handle {
    fn pointer(&self) -> *mut c_void {
        self.0.as_ptr()
    }
}

type Callback = extern "C" fn(*mut c_void);
type HandleSize = unsafe extern "C" fn(c_int) -> usize;
type Init = unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int;
type Start = unsafe extern "C" fn(*mut c_void, Callback) -> c_int;
type Stop = unsafe extern "C" fn(*mut c_void) -> c_int;
type Ask = unsafe extern "C" fn(*const c_void) -> c_int;
type Act = unsafe extern "C" fn(*mut c_void);
type Walk = unsafe extern "C" fn(*mut c_void, extern "C" fn(*mut c_void, *mut c_void), *mut c_void);
type Close = unsafe extern "C" fn(*mut c_void, Option<Callback>);

/// The functions of libuv that are used, all of its public interface.
struct Library {
    handle_size: HandleSize,
    prepare_init: Init,
    prepare_start: Start,
    idle_init: Init,
    idle_start: Start,
    idle_stop: Stop,
    update_time: Act,
    backend_timeout: Ask,
    walk: Walk,
    unref: Act,
    is_active: Ask,
    is_closing: Ask,
    close: Close,
}

impl Library {
    fn open(path: &Path) -> io::Result<Self> {
        let name = CString::new(path.as_os_str().as_bytes())?;
        // SAFETY: the name ends with a zero. The library is loaded already, so that no code of it runs now (dlopen(3)).
        let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
        let library = NonNull::new(library)
            .ok_or_else(|| io::Error::other(format!("{} is not loaded", path.display())))?;
        macro_rules! find {
            ($name:literal as $function:ty) => {{
                let found = symbol(library, $name)?;
                // SAFETY: it is the function of this name in uv.h, whose type has not changed in libuv 1.
                unsafe { std::mem::transmute::<*mut c_void, $function>(found) }
            }};
        }
        Ok(Self {
            handle_size: find!(c"uv_handle_size" as HandleSize),
            prepare_init: find!(c"uv_prepare_init" as Init),
            prepare_start: find!(c"uv_prepare_start" as Start),
            idle_init: find!(c"uv_idle_init" as Init),
            idle_start: find!(c"uv_idle_start" as Start),
            idle_stop: find!(c"uv_idle_stop" as Stop),
            update_time: find!(c"uv_update_time" as Act),
            backend_timeout: find!(c"uv_backend_timeout" as Ask),
            walk: find!(c"uv_walk" as Walk),
            unref: find!(c"uv_unref" as Act),
            is_active: find!(c"uv_is_active" as Ask),
            is_closing: find!(c"uv_is_closing" as Ask),
            close: find!(c"uv_close" as Close),
        })
    }

    /// Room for a handle, zeroed, which stays as long as the process.
    fn handle(&self, kind: c_int) -> Handle {
        // SAFETY: it looks a number up.
        let size = unsafe { (self.handle_size)(kind) };
        // Words, since a handle begins with a pointer and holds nothing that is aligned more strictly.
        let room: &'static mut [u64] = vec![0; size.div_ceil(size_of::<u64>()).max(1)].leak();
        Handle(NonNull::from(room).cast())
    }
}

fn symbol(library: NonNull<c_void>, name: &CStr) -> io::Result<*mut c_void> {
    // SAFETY: the library is open, and the name ends with a zero.
    let found = unsafe { libc::dlsym(library.as_ptr(), name.as_ptr()) };
    if found.is_null() {
        let name = name.to_string_lossy();
        return Err(io::Error::other(format!("it was built without libuv's {name} to be found")));
    }
    Ok(found)
}

fn succeed(outcome: c_int) -> io::Result<()> {
    // libuv's errors are those of the system, negated.
    if outcome < 0 { Err(io::Error::from_raw_os_error(-outcome)) } else { Ok(()) }
}

/// `uv_handle_type` (uv.h, UV_HANDLE_TYPE_MAP), in which the order is part of the interface.
const CHECK: c_int = 2;
const IDLE: c_int = 6;
const PREPARE: c_int = 9;
