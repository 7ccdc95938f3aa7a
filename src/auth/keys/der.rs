//! The private numbers of an RSA key, which the library gives out as DER alone.

/// Those of PKCS #8, in the order of RFC 8017 A.1.2: d, p, q, dP, dQ, qInv; big-endian, without leading zeros.
pub(super) fn rsa_private_numbers(pkcs8: &[u8]) -> Option<[&[u8]; 6]> {
    // RFC 5208 5: version, algorithm, the key as OCTET STRING.
    let mut info = Elements(pkcs8).next(SEQUENCE)?;
    info.next(INTEGER)?;
    info.next(SEQUENCE)?;
    let mut key = info.next(OCTET_STRING)?.next(SEQUENCE)?;
    let version = key.next(INTEGER)?;
    // A key of more than two primes has version 1, and a JWK of it would need "oth".
    if version.0 != [0] {
        return None;
    }
    let (_modulus, _exponent) = (key.next(INTEGER)?, key.next(INTEGER)?);
    let mut numbers = [&[][..]; 6];
    for number in &mut numbers {
        let bytes = key.next(INTEGER)?.0;
        *number = &bytes[bytes.iter().position(|byte| *byte != 0)?..];
    }
    Some(numbers)
}

/// Content of DER (X.690 10.1), element after element.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// The content of the next element, which has to be of this kind.
    fn next(&mut self, tag: u8) -> Option<Self> {
        let rest = self.0.strip_prefix(&[tag])?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // X.690 8.1.3.5: that many bytes of length follow. An RSA key of 8192 bits needs two.
            0x81 | 0x82 => {
                let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some(Self(content))
    }
}

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
