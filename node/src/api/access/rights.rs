//! What a client may do, and what a request needs.

use axum::http::Method;

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Ask what is in the ledger, and follow it.
    pub read: bool,
    /// Send transactions.
    pub write: bool,
}

impl Rights {
    /// Everything.
    pub const ALL: Self = Self { read: true, write: true };
    /// Nothing but what is there to find out who may do what.
    pub const NONE: Self = Self { read: false, write: false };

    /// By their names.
    ///
    /// # Errors
    /// The name that is none.
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, &'a str> {
        let mut rights = Self::NONE;
        for name in names {
            match name {
                "read" => rights.read = true,
                "write" => rights.write = true,
                other => return Err(other),
            }
        }
        Ok(rights)
    }

    pub(super) fn allow(self, needed: Right) -> bool {
        match needed {
            Right::None => true,
            Right::Read => self.read,
            Right::Write => self.write,
        }
    }
}

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    None,
    Read,
    Write,
}

/// What is not known to be harmless is writing.
pub(super) fn needed(method: &Method, path: &str) -> Right {
    let path = path.trim_end_matches('/');
    let reading = method == Method::GET || method == Method::HEAD;
    let about_the_api = matches!(path, "" | "/api/v1" | "/api/v2" | "/api/v2/openapi.json")
        || path == "/api/v2/docs"
        || path.starts_with("/api/v2/docs/");
    if method == Method::OPTIONS || (reading && about_the_api) {
        Right::None
    } else if reading || path == "/api/v2/receipts/verify" {
        Right::Read
    } else {
        Right::Write
    }
}

/// Where browsers cannot set a header, so that a token may stand in the query.
pub(super) fn is_stream(path: &str) -> bool {
    let path = path.trim_end_matches('/');
    path == "/api/v2/stream" || path.starts_with("/api/v1/streams/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sending_needs_more_than_asking() {
        #[rustfmt::skip]
        let table = [
            ("GET",     "/",                               Right::None,  "says what this is"),
            ("GET",     "/api/v1/",                        Right::None,  "says where everything is"),
            ("GET",     "/api/v2/openapi.json",            Right::None,  "says how to ask"),
            ("GET",     "/api/v2/docs/",                   Right::None,  "says it on a page"),
            ("GET",     "/api/v2/docsomething",            Right::Read,  "a path that begins alike"),
            ("OPTIONS", "/api/v1/transactions",            Right::None,  "a browser shows no token there"),
            ("GET",     "/api/v1/transactions/abc",        Right::Read,  ""),
            ("HEAD",    "/api/v2/blocks",                  Right::Read,  ""),
            ("GET",     "/api/v2/stream",                  Right::Read,  "following is reading"),
            ("POST",    "/api/v2/receipts/verify",         Right::Read,  "changes nothing"),
            ("POST",    "/api/v1/transactions/",           Right::Write, ""),
            ("POST",    "/api/v2/transactions",            Right::Write, ""),
            ("POST",    "/",                               Right::Write, "not known to be harmless"),
            ("DELETE",  "/api/v2/docs",                    Right::Write, "not known to be harmless"),
        ];
        for (method, path, right, why) in table {
            assert_eq!(needed(&method.parse().unwrap(), path), right, "{method} {path} {why}");
        }
    }

    #[test]
    fn rights_have_names() {
        assert_eq!(Rights::named(["write", "read"]), Ok(Rights::ALL));
        assert_eq!(Rights::named([]), Ok(Rights::NONE));
        assert_eq!(Rights::named(["read", "admin"]), Err("admin"));
    }
}
