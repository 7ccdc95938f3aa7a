//! Addresses and ports as Python's text.

use super::ffi::native_string;
use crate::protocol::Client;
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::net::IpAddr;

/// The texts of clients that have been here lately: a connection asks for the same ones with each of its requests.
pub(super) struct ClientTexts {
    places: Box<[Option<Texts>]>,
}

struct Texts {
    client: Client,
    address: Py<PyString>,
    port: Option<Py<PyString>>,
}

/// Many times the connections of a busy worker: two that share a place make each other's texts anew, which costs what it would
/// without.
const PLACES: usize = 512;

impl ClientTexts {
    /// Address and port of a client.
    pub(super) fn of<'py>(
        &mut self,
        py: Python<'py>,
        client: Client,
    ) -> PyResult<(&Bound<'py, PyString>, Option<&Bound<'py, PyString>>)> {
        // Linux gives connections of one host every other port, with gaps.
        let place = &mut self.places[usize::from(client.port.unwrap_or(0) / 2) % PLACES];
        let known = place.take_if(|texts| texts.client == client);
        let texts = match known {
            Some(texts) => texts,
            None => Texts {
                client,
                address: address_text(py, client.address)?.unbind(),
                port: client.port.map(|port| decimal_text(py, port)).transpose()?.map(Bound::unbind),
            },
        };
        let texts = place.insert(texts);
        Ok((texts.address.bind(py), texts.port.as_ref().map(|port| port.bind(py))))
    }
}

impl Default for ClientTexts {
    fn default() -> Self {
        Self { places: std::iter::repeat_with(|| None).take(PLACES).collect() }
    }
}

/// What `Display` gives, at a tenth of its cost for the addresses that most peers have.
pub(super) fn address_text(py: Python<'_>, address: IpAddr) -> PyResult<Bound<'_, PyString>> {
    let IpAddr::V4(address) = address else { return Ok(PyString::new(py, &address.to_string())) };
    let mut text = Vec::with_capacity(15);
    for octet in address.octets() {
        push_decimal(&mut text, octet.into());
        text.push(b'.');
    }
    text.pop();
    native_string(py, &text)
}

/// A port.
pub(super) fn decimal_text(py: Python<'_>, number: u16) -> PyResult<Bound<'_, PyString>> {
    let mut text = Vec::with_capacity(5);
    push_decimal(&mut text, number);
    native_string(py, &text)
}

fn push_decimal(text: &mut Vec<u8>, number: u16) {
    if number >= 10 {
        push_decimal(text, number / 10);
    }
    text.push(b"0123456789"[usize::from(number % 10)]);
}
