//! Signatures of ECDSA as tokens have them, in the form that the cryptography reads.

/// The longest form: a sequence of two numbers of 384 bits, each with its tag, its length and a zero in front.
const MAX_DER: usize = 2 + 2 * (2 + 1 + 48);

/// A signature in DER (RFC 3279 2.2.3).
pub(super) struct Der {
    bytes: [u8; MAX_DER],
    length: usize,
}

impl Der {
    /// Of a signature that is its two numbers in a row, each of as many bytes as the curve has (RFC 7518 3.4); `None` when it
    /// has another length.
    ///
    /// The library takes that form as well, and would spend some thousand instructions and five allocations on making this one
    /// of it.
    pub(super) fn of(signature: &[u8], width: usize) -> Option<Self> {
        if signature.len() != 2 * width || 2 + 2 * (2 + 1 + width) > MAX_DER {
            return None;
        }
        let (r, s) = signature.split_at(width);
        let mut der = Self { bytes: [0; MAX_DER], length: 0 };
        der.put(&[SEQUENCE, 0]);
        der.put_number(r);
        der.put_number(s);
        der.bytes[1] = one_byte(der.length - 2);
        Some(der)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Without zeros in front, but for one where the number would be a negative one.
    fn put_number(&mut self, number: &[u8]) {
        let zeros = number.iter().take_while(|byte| **byte == 0).count().min(number.len() - 1);
        let number = &number[zeros..];
        let pad = usize::from(number[0] >= 0x80);
        self.put(&[INTEGER, one_byte(number.len() + pad)]);
        self.put(&[0][..pad]);
        self.put(number);
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }
}

/// A length below 128, as all are here, in DER.
fn one_byte(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair,
        KeyPair, UnparsedPublicKey,
    };

    #[test]
    fn numbers_have_no_needless_zeros_and_no_sign() {
        let der = |signature: &[u8]| Der::of(signature, signature.len() / 2).unwrap().as_bytes().to_vec();
        assert_eq!(der(&[1, 2]), [0x30, 6, 2, 1, 1, 2, 1, 2]);
        assert_eq!(der(&[0x80, 0x7f]), [0x30, 7, 2, 2, 0, 0x80, 2, 1, 0x7f]);
        assert_eq!(der(&[0, 0, 0, 0, 0, 9]), [0x30, 6, 2, 1, 0, 2, 1, 9]);
        assert_eq!(der(&[0, 0xff, 0x12, 0x34]), [0x30, 8, 2, 2, 0, 0xff, 2, 2, 0x12, 0x34]);
        assert_eq!(der(&[0xff; 96]).len(), MAX_DER);
    }

    #[test]
    fn other_lengths_are_no_signature() {
        for length in [0, 1, 32, 63, 65, 96, 128] {
            assert!(Der::of(&vec![1; length], 32).is_none(), "{length}");
        }
        assert!(Der::of(&[1; 132], 66).is_none());
    }

    #[test]
    fn both_forms_prove_the_same() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref();
        let (fixed, asn1) = (
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point),
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point),
        );
        // One number in 256 has a zero in front.
        for number in 0..600_u32 {
            let message = number.to_be_bytes();
            let signature = pair.sign(&SystemRandom::new(), &message).unwrap();
            let der = Der::of(signature.as_ref(), 32).unwrap();
            assert!(fixed.verify(&message, signature.as_ref()).is_ok());
            assert!(asn1.verify(&message, der.as_bytes()).is_ok(), "{:?}", signature.as_ref());
            assert!(asn1.verify(b"another", der.as_bytes()).is_err());
        }
    }
}
