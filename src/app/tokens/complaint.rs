//! What Python's `json` says of a text that is no JSON, since that is what clients of simplejwt have been answered.
//!
//! The words are those of CPython 3.8 to 3.12; later ones have others for a comma before an end ("Illegal trailing comma …").

use std::str::Utf8Error;

/// What would be said of this text; `None` where Python would take it.
pub(super) fn complaint(bytes: &[u8]) -> Option<String> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        // A letter that is cut off at the end is passed over.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?
        }
        Err(error) => return Some(undecodable(bytes, error)),
    };
    match Scanner::new(text).scan() {
        Ok(()) | Err(Stop::TooDeep) => None,
        Err(Stop::Constant(name)) => {
            Some(format!("Out of range float values are not JSON compliant: '{name}'"))
        }
        Err(Stop::At(place, message)) => {
            let before = &text[..place];
            let position = before.chars().count();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
            Some(format!("{message}: line {line} column {column} (char {position})"))
        }
    }
}

fn undecodable(bytes: &[u8], error: Utf8Error) -> String {
    let first = error.valid_up_to();
    let reason = match bytes[first] {
        0x80..=0xc1 | 0xf5..=0xff => "invalid start byte",
        _ => "invalid continuation byte",
    };
    match error.error_len() {
        Some(length) if length > 1 => {
            let last = first + length - 1;
            format!("'utf-8' codec can't decode bytes in position {first}-{last}: {reason}")
        }
        _ => format!("'utf-8' codec can't decode byte 0x{:02x} in position {first}: {reason}", bytes[first]),
    }
}

/// Why reading stops.
enum Stop {
    /// At this byte, for this reason.
    At(usize, &'static str),
    /// A number that JSON has not.
    Constant(&'static str),
    /// Not looked at further.
    TooDeep,
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self { text: text.as_bytes(), at: 0 }
    }

    fn scan(mut self) -> Result<(), Stop> {
        if self.text.starts_with("\u{feff}".as_bytes()) {
            return Err(Stop::At(0, "Unexpected UTF-8 BOM (decode using utf-8-sig)"));
        }
        self.skip_blanks();
        self.value(0)?;
        self.skip_blanks();
        if self.at < self.text.len() { self.stop("Extra data") } else { Ok(()) }
    }

    fn value(&mut self, depth: usize) -> Result<(), Stop> {
        if depth > DEEPEST {
            return Err(Stop::TooDeep);
        }
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            _ => self.word_or_number(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Stop> {
        self.at += 1;
        self.skip_blanks();
        if self.take(b"}") {
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return self.stop("Expecting property name enclosed in double quotes");
            }
            self.string()?;
            self.skip_blanks();
            self.expect(b":", "Expecting ':' delimiter")?;
            if self.is_last(depth, b"}")? {
                return Ok(());
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<(), Stop> {
        self.at += 1;
        self.skip_blanks();
        if self.take(b"]") {
            return Ok(());
        }
        while !self.is_last(depth, b"]")? {}
        Ok(())
    }

    /// Reads a value of an object or a list with what follows it; whether that is the end.
    fn is_last(&mut self, depth: usize, end: &[u8]) -> Result<bool, Stop> {
        self.skip_blanks();
        self.value(depth + 1)?;
        self.skip_blanks();
        if self.take(end) {
            return Ok(true);
        }
        self.expect(b",", "Expecting ',' delimiter")?;
        self.skip_blanks();
        Ok(false)
    }

    fn string(&mut self) -> Result<(), Stop> {
        let unterminated = Stop::At(self.at, "Unterminated string starting at");
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(unterminated),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(..b' ') => return self.stop("Invalid control character at"),
                Some(b'\\') => match self.text.get(self.at + 1) {
                    None => return Err(unterminated),
                    Some(b'u') => self.hexadecimal()?,
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
                    Some(_) => return self.stop("Invalid \\escape"),
                },
                Some(_) => self.at += 1,
            }
        }
    }

    /// `\uXXXX`
    fn hexadecimal(&mut self) -> Result<(), Stop> {
        let digits = self.text.get(self.at + 2..self.at + 6);
        // What stands at the very end is not looked at, since the string cannot end behind it.
        let is_followed = self.at + 6 < self.text.len();
        if !is_followed || !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return Err(Stop::At(self.at + 1, "Invalid \\uXXXX escape"));
        }
        self.at += 6;
        Ok(())
    }

    fn word_or_number(&mut self) -> Result<(), Stop> {
        if let Some(name) = ["NaN", "Infinity", "-Infinity"].into_iter().find(|name| self.is_next(name)) {
            return Err(Stop::Constant(name));
        }
        if ["null", "true", "false"].into_iter().any(|word| self.take(word.as_bytes())) {
            return Ok(());
        }
        let start = self.at;
        self.take(b"-");
        if !self.take(b"0") && !self.take_digits() {
            self.at = start;
            return self.stop("Expecting value");
        }
        // A point or an exponent without digits is not part of the number.
        let whole = self.at;
        if !(self.take(b".") && self.take_digits()) {
            self.at = whole;
        }
        let mantissa = self.at;
        let has_exponent = self.take(b"e") || self.take(b"E");
        let _sign = self.take(b"+") || self.take(b"-");
        if !(has_exponent && self.take_digits()) {
            self.at = mantissa;
        }
        Ok(())
    }

    fn take_digits(&mut self) -> bool {
        let digits = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        digits > 0
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn is_next(&self, word: &str) -> bool {
        self.text[self.at..].starts_with(word.as_bytes())
    }

    fn take(&mut self, word: &[u8]) -> bool {
        let is_there = self.text[self.at..].starts_with(word);
        self.at += if is_there { word.len() } else { 0 };
        is_there
    }

    fn expect(&mut self, word: &[u8], message: &'static str) -> Result<(), Stop> {
        if self.take(word) { Ok(()) } else { self.stop(message) }
    }

    fn stop(&self, message: &'static str) -> Result<(), Stop> {
        Err(Stop::At(self.at, message))
    }
}

/// Deeper than anything that is taken; each level is a call.
const DEEPEST: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_json_is_complained_of_as_python_does_it() {
        for (text, expected) in [
            ("", "Expecting value: line 1 column 1 (char 0)"),
            ("   ", "Expecting value: line 1 column 4 (char 3)"),
            ("nul", "Expecting value: line 1 column 1 (char 0)"),
            ("-", "Expecting value: line 1 column 1 (char 0)"),
            ("{\"username\": }", "Expecting value: line 1 column 14 (char 13)"),
            ("{\"a\":.5}", "Expecting value: line 1 column 6 (char 5)"),
            ("[1,]", "Expecting value: line 1 column 4 (char 3)"),
            ("[", "Expecting value: line 1 column 2 (char 1)"),
            ("{\"a\":", "Expecting value: line 1 column 6 (char 5)"),
            ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
            ("{\"a\":1,}", "Expecting property name enclosed in double quotes: line 1 column 8 (char 7)"),
            ("{'a':1}", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
            ("{\"a\" \"b\"}", "Expecting ':' delimiter: line 1 column 6 (char 5)"),
            ("\n\n{\"a\"", "Expecting ':' delimiter: line 3 column 5 (char 6)"),
            ("{\"username\":\"a\"", "Expecting ',' delimiter: line 1 column 16 (char 15)"),
            ("{\"a\":01}", "Expecting ',' delimiter: line 1 column 7 (char 6)"),
            ("{\"a\":1.}", "Expecting ',' delimiter: line 1 column 7 (char 6)"),
            ("{\"a\":1e+}", "Expecting ',' delimiter: line 1 column 7 (char 6)"),
            ("{\"ä\":1 \"b\":2}", "Expecting ',' delimiter: line 1 column 8 (char 7)"),
            ("[\"a\" \"b\"]", "Expecting ',' delimiter: line 1 column 6 (char 5)"),
            ("{\"a\":1} x", "Extra data: line 1 column 9 (char 8)"),
            ("{\"a\":\"b", "Unterminated string starting at: line 1 column 6 (char 5)"),
            ("\"a\\", "Unterminated string starting at: line 1 column 1 (char 0)"),
            ("{\"a\":\"\u{1}\"}", "Invalid control character at: line 1 column 7 (char 6)"),
            ("{\"a\":\"\\x\"}", "Invalid \\escape: line 1 column 7 (char 6)"),
            ("{\"a\":\"\\u12\"}", "Invalid \\uXXXX escape: line 1 column 8 (char 7)"),
            ("\"\\u1234", "Invalid \\uXXXX escape: line 1 column 3 (char 2)"),
            ("\u{feff}{}", "Unexpected UTF-8 BOM (decode using utf-8-sig): line 1 column 1 (char 0)"),
            ("{\"x\":NaN}", "Out of range float values are not JSON compliant: 'NaN'"),
            ("{\"x\":-Infinity}", "Out of range float values are not JSON compliant: '-Infinity'"),
        ] {
            assert_eq!(complaint(text.as_bytes()).as_deref(), Some(expected), "{text}");
        }
        for text in
            ["{}", " [1, -0.5e-3, null, {\"a\": [], \"\\u00e4\\n\": true}]\n", "1e400", "{\"a\":1,\"a\":2}"]
        {
            assert_eq!(complaint(text.as_bytes()), None, "{text}");
        }
        assert_eq!(complaint("[".repeat(100_000).as_bytes()), None);
    }

    #[test]
    fn what_is_no_utf_8_is_complained_of_as_python_does_it() {
        for (bytes, expected) in [
            (
                &b"{\"a\":\"\xe9\"}"[..],
                "'utf-8' codec can't decode byte 0xe9 in position 6: invalid continuation byte",
            ),
            (b"\xff{}", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
            (b"\"\xe2\x82\"", "'utf-8' codec can't decode bytes in position 1-2: invalid continuation byte"),
            (b"\"\xe2\x82", "Unterminated string starting at: line 1 column 1 (char 0)"),
        ] {
            assert_eq!(complaint(bytes).as_deref(), Some(expected));
        }
    }
}
