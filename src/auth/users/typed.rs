//! What logins make of a name and a password as they were typed, so that nobody gets a password that no login could send.

/// Whether a letter is taken away around a text: as Python counts blanks, the separators of ASCII are some, too.
pub fn is_blank(letter: char) -> bool {
    letter.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&letter)
}

/// The longest name that a login takes, in letters: an address of mail has no more (RFC 5321 4.5.3.1).
pub const NAME_LONGEST: usize = 254;

/// The longest password that a login takes, in letters: hashing takes time by its length.
pub const PASSWORD_LONGEST: usize = 4096;
