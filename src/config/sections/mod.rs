//! What the program uses of a configuration, a struct for each table of the file.

mod admin;
mod apps;
mod auth;
mod canary;
mod hooks;
mod interface;
mod issue;
mod limits;
mod log;
mod preload;
mod python;
mod routes;
mod server;
mod timeouts;
mod warm_up;
mod websocket;
mod workers;

pub use admin::{Admin, ControlSocket};
pub use apps::{AppTarget, Coding, FileRules, Mount};
pub use auth::{
    ArrayFormat, Auth, AuthKey, AuthProvider, AuthRoute, ClaimRule, Cors, Csrf, Extract, Forward, Hidden,
    JwksRules, KeySource, KeyUse, Preset, Require, StreamExpiry, UserState,
};
pub use canary::{Canary, Ratio};
pub use hooks::{HookTarget, Hooks};
pub use interface::{EventLoopKind, Interface, Lifespan, RequestContent};
pub use issue::{
    AuthStore, AuthUsers, Issue, IssueLimits, JWKS_PATH, OnStoreError, Rate, Reuse, TrustProxy, UserKind,
};
pub use limits::Limits;
pub use log::{AccessFormat, Log, LogFormat, LogLevel, LogTarget};
pub use preload::Preload;
pub use python::{Python, StaticRoot};
pub use routes::Route;
pub use server::{ForwardedField, Server};
pub use timeouts::Timeouts;
pub use warm_up::{WarmUp, WarmUpScheme};
pub use websocket::WebSocket;
pub use workers::Workers;
