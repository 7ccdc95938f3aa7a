//! What Python apps speak: `app.interface`, `python.lifespan`; and what ASGI apps live in: `python.loop`.

/// What a Python app speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interface {
    /// Told by what the app looks like.
    #[default]
    Auto,
    /// WSGI (PEP 3333).
    Wsgi,
    /// ASGI, version 3 or 2.
    Asgi,
}

/// Whether an ASGI app is told of its beginning and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lifespan {
    /// If it listens.
    #[default]
    Auto,
    /// It is, and must answer.
    On,
    /// It is not.
    Off,
}

impl Lifespan {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

/// When an ASGI app is entered for a request with content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RequestContent {
    /// Once it is complete.
    #[default]
    Complete,
    /// At once; the app has it while it arrives.
    Stream,
}

/// Whose event loop ASGI apps live in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EventLoopKind {
    /// uvloop's where that is installed, else asyncio's own.
    #[default]
    Auto,
    /// asyncio's own.
    Asyncio,
    /// uvloop's.
    Uvloop,
}

impl EventLoopKind {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Asyncio => "asyncio",
            Self::Uvloop => "uvloop",
        }
    }
}
