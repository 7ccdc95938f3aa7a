//! Why a request was refused: a code for logs, and what the client may be told.

/// Why a request was refused. It holds nothing of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request names no credential that we handle.
    NoCredential,
    /// More than one Authorization field.
    CredentialRepeated,
    /// The Authorization field is not "scheme token".
    CredentialMalformed,
    /// The path can be read in more than one way: apps and rules could read different paths.
    Path,
    /// A token in a cookie came with a request that another site may have caused.
    CrossSite,
    /// The token is longer than `max_token_bytes`.
    TooLarge,
    /// It is no compact JWS: three parts of base64url without padding.
    Shape,
    /// It is an encrypted or compressed token.
    Encrypted,
    /// Its header is no strict JSON object.
    Header,
    /// Its algorithm is none that the provider allows.
    Algorithm,
    /// Its header has `crit` or `b64`.
    Critical,
    /// Its `typ` is none that the provider takes.
    HeaderType,
    /// Its `kid` is no short, printable string.
    KeyId,
    /// No provider that the rule allows has its issuer.
    UnknownIssuer,
    /// No usable key has its `kid` and algorithm.
    UnknownKey,
    /// Its signature does not verify.
    Signature,
    /// Its payload is no strict JSON object.
    Payload,
    /// A claim has the wrong type or is out of range.
    ClaimForm,
    /// There is no `exp`.
    NoExpiry,
    /// It has expired.
    Expired,
    /// Its `nbf` or `iat` is in the future.
    NotYetValid,
    /// It would live longer than `max_lifetime`.
    Lifetime,
    /// It has another issuer, or none.
    Issuer,
    /// It is meant for somebody else.
    Audience,
    /// The `token_type` claim is another.
    TokenType,
    /// There is no `token_type` claim.
    NoTokenType,
    /// There is no `jti`.
    NoId,
    /// Another required claim is missing.
    MissingClaim,
    /// Nothing names the user, or not as configured.
    Subject,
    /// It is bound to a key (`cnf`), which a bearer cannot prove.
    Bound,
    /// Its session or its user's tokens have been revoked.
    Revoked,
    /// Its user may not log in any more.
    Inactive,
    /// There is no such user.
    NoUser,
    /// Its user's password has been changed since.
    PasswordChanged,
    /// No keys of its provider are to be had yet.
    NoKeys,
    /// It cannot be found out whether it has been revoked.
    NoState,
    /// The token is good; a scope is missing.
    Scope,
    /// The token is good; a claim rule of the route is not met.
    ClaimRule,
}

/// What kind of refusal it is; it decides status and challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// Nothing to judge was sent.
    Missing,
    /// The request is malformed.
    Request,
    /// The token is not good.
    Token,
    /// The token is good and does not suffice.
    Rights,
    /// Another site may have caused the request.
    CrossSite,
    /// The client is not at fault: it cannot be judged now.
    Unavailable,
}

impl Reason {
    /// All there are, in their order.
    const ALL: [Self; 38] = [
        Self::NoCredential,
        Self::CredentialRepeated,
        Self::CredentialMalformed,
        Self::Path,
        Self::CrossSite,
        Self::TooLarge,
        Self::Shape,
        Self::Encrypted,
        Self::Header,
        Self::Algorithm,
        Self::Critical,
        Self::HeaderType,
        Self::KeyId,
        Self::UnknownIssuer,
        Self::UnknownKey,
        Self::Signature,
        Self::Payload,
        Self::ClaimForm,
        Self::NoExpiry,
        Self::Expired,
        Self::NotYetValid,
        Self::Lifetime,
        Self::Issuer,
        Self::Audience,
        Self::TokenType,
        Self::NoTokenType,
        Self::NoId,
        Self::MissingClaim,
        Self::Subject,
        Self::Bound,
        Self::Revoked,
        Self::Inactive,
        Self::NoUser,
        Self::PasswordChanged,
        Self::NoKeys,
        Self::NoState,
        Self::Scope,
        Self::ClaimRule,
    ];

    /// The reason of this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// What kind of refusal it is.
    pub fn kind(self) -> RefusalKind {
        match self {
            Self::NoCredential => RefusalKind::Missing,
            Self::CredentialRepeated | Self::CredentialMalformed | Self::Path => RefusalKind::Request,
            Self::Scope | Self::ClaimRule => RefusalKind::Rights,
            Self::CrossSite => RefusalKind::CrossSite,
            Self::NoKeys | Self::NoState => RefusalKind::Unavailable,
            Self::TooLarge
            | Self::Shape
            | Self::Encrypted
            | Self::Header
            | Self::Algorithm
            | Self::Critical
            | Self::HeaderType
            | Self::KeyId
            | Self::UnknownIssuer
            | Self::UnknownKey
            | Self::Signature
            | Self::Payload
            | Self::ClaimForm
            | Self::NoExpiry
            | Self::Expired
            | Self::NotYetValid
            | Self::Lifetime
            | Self::Issuer
            | Self::Audience
            | Self::TokenType
            | Self::NoTokenType
            | Self::NoId
            | Self::MissingClaim
            | Self::Subject
            | Self::Bound
            | Self::Revoked
            | Self::Inactive
            | Self::NoUser
            | Self::PasswordChanged => RefusalKind::Token,
        }
    }

    /// A short word for logs and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoCredential => "no_credential",
            Self::CredentialRepeated => "credential_repeated",
            Self::CredentialMalformed => "credential_malformed",
            Self::Path => "path",
            Self::TooLarge => "too_large",
            Self::Shape => "shape",
            Self::Encrypted => "encrypted",
            Self::Header => "header",
            Self::Algorithm => "algorithm",
            Self::Critical => "critical",
            Self::HeaderType => "header_type",
            Self::KeyId => "key_id",
            Self::UnknownIssuer => "unknown_issuer",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Payload => "payload",
            Self::ClaimForm => "claim_form",
            Self::NoExpiry => "no_expiry",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Lifetime => "lifetime",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::TokenType => "token_type",
            Self::NoTokenType => "no_token_type",
            Self::NoId => "no_id",
            Self::MissingClaim => "missing_claim",
            Self::Subject => "subject",
            Self::Bound => "bound",
            Self::CrossSite => "cross_site",
            Self::Revoked => "revoked",
            Self::Inactive => "inactive",
            Self::NoUser => "no_user",
            Self::PasswordChanged => "password_changed",
            Self::NoKeys => "no_keys",
            Self::NoState => "no_state",
            Self::Scope => "scope",
            Self::ClaimRule => "claim_rule",
        }
    }

    /// Where in the order of checks it was found: for whoever debugs a token, never for the client.
    pub fn step(self) -> &'static str {
        match self {
            Self::NoCredential | Self::CredentialRepeated | Self::CredentialMalformed | Self::CrossSite => {
                "the credential"
            }
            Self::Path => "the path",
            Self::TooLarge | Self::Shape | Self::Encrypted => "the shape",
            Self::Header | Self::Algorithm | Self::Critical | Self::HeaderType | Self::KeyId => "the header",
            Self::UnknownIssuer | Self::UnknownKey | Self::NoKeys => "the key",
            Self::Signature => "the signature",
            Self::Payload => "the payload",
            Self::ClaimForm
            | Self::NoExpiry
            | Self::Expired
            | Self::NotYetValid
            | Self::Lifetime
            | Self::Issuer
            | Self::Audience
            | Self::TokenType
            | Self::NoTokenType
            | Self::NoId
            | Self::MissingClaim
            | Self::Subject
            | Self::Bound => "the claims",
            Self::Revoked | Self::Inactive | Self::NoUser | Self::PasswordChanged | Self::NoState => {
                "what is known of the user"
            }
            Self::Scope | Self::ClaimRule => "the rights",
        }
    }

    /// What is wrong, for whoever debugs a token, never for the client: it says more than a forger should know.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::TooLarge => "it is longer than max_token_bytes",
            Self::Shape => "it is not three parts of base64url, without padding, joined by dots",
            Self::Encrypted => "it is encrypted or compressed (JWE), which is not supported",
            Self::Header => "its header is no JSON object, or has a member twice",
            Self::Algorithm => "its alg is none that the provider allows",
            Self::Critical => "its header has crit or b64, and no such extension is supported",
            Self::HeaderType => "its typ is none that the provider takes (typ)",
            Self::KeyId => "its kid is no short, printable text",
            Self::UnknownIssuer => "no provider has its iss",
            Self::UnknownKey => "no key has its kid and alg (or the key's until has passed)",
            Self::NoKeys => "the provider's key set has not been fetched",
            Self::Signature => "no key has made this signature over this header and payload",
            Self::Payload => "its payload is no JSON object, or has a member twice",
            Self::ClaimForm => "exp, nbf, iat, iss, aud, sub or jti has the wrong type or is out of range",
            Self::NoExpiry => "it has no exp",
            Self::Expired => "its exp has passed",
            Self::NotYetValid => "its nbf or iat lies in the future",
            Self::Lifetime => "its exp is further away than max_lifetime",
            Self::Issuer => "its iss is not the provider's issuer",
            Self::Audience => "its aud is none of the provider's audiences",
            Self::TokenType => "its token_type is another than the provider's",
            Self::NoTokenType => "it has no token_type",
            Self::NoId => "it has no jti, which the provider requires",
            Self::MissingClaim => "it lacks a claim that the provider requires",
            Self::Subject => "the subject_claim is missing, or no text or whole number",
            Self::Bound => "it is bound to a key (cnf), which a bearer cannot prove",
            Self::NoCredential
            | Self::CredentialRepeated
            | Self::CredentialMalformed
            | Self::Path
            | Self::CrossSite
            | Self::Revoked
            | Self::Inactive
            | Self::NoUser
            | Self::PasswordChanged
            | Self::NoState
            | Self::Scope
            | Self::ClaimRule => self.description(),
        }
    }

    /// What the client may be told: fixed text within RFC 6750 3's characters, nothing of the token.
    ///
    /// As long as the signature is not proven, whoever sent the token may be guessing: it is told no more
    /// than that it is invalid.
    pub fn description(self) -> &'static str {
        match self {
            Self::NoCredential => "Authentication credentials were not provided.",
            Self::CredentialRepeated => "More than one credential was sent",
            Self::CredentialMalformed => "Authorization header must contain two space-delimited values",
            Self::Path => "The path is ambiguous",
            Self::TooLarge
            | Self::Shape
            | Self::Encrypted
            | Self::Header
            | Self::Algorithm
            | Self::Critical
            | Self::HeaderType
            | Self::KeyId
            | Self::UnknownIssuer
            | Self::UnknownKey
            | Self::Signature => "Token is invalid",
            Self::Payload | Self::ClaimForm => "Token has malformed claims",
            Self::NoExpiry => "Token has no 'exp' claim",
            Self::Expired => "Token is expired",
            Self::NotYetValid => "Token is not yet valid",
            Self::Lifetime => "Token lives too long",
            Self::Issuer => "Token has wrong issuer",
            Self::Audience => "Token has wrong audience",
            Self::TokenType => "Token has wrong type",
            Self::NoTokenType => "Token has no type",
            Self::NoId => "Token has no id",
            Self::MissingClaim => "Token lacks a required claim",
            Self::Subject => "Token contained no recognizable user identification",
            Self::Bound => "Token is bound to a key",
            Self::CrossSite => "CSRF Failed: the request does not come from a page of this site",
            Self::Revoked => "Token is revoked",
            Self::Inactive => "User is inactive",
            Self::NoUser => "User not found",
            Self::PasswordChanged => "The user's password has been changed.",
            Self::NoKeys | Self::NoState => "The token cannot be verified at present; try again",
            Self::Scope | Self::ClaimRule => "You do not have permission to perform this action.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_known_by_its_code() {
        for (number, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!((reason as usize, Reason::from_code(reason.code())), (number, Some(reason)));
        }
        assert_eq!(Reason::from_code(""), None);
    }
}
