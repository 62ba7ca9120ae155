//! Who may ask: requests from this machine's own pages, with the token where one is required.

use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, Method};

/// Name of the cookie that holds the token.
pub(crate) const COOKIE_NAME: &str = "isogain-token";

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A method that changes things.
    Method,
    /// A host that is a name: a page of another site whose name was turned to this address.
    Host,
    /// A page of another site asks.
    Origin,
    /// Without the token.
    Token,
}

/// What is asked of every request.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    /// `None` where only this machine can connect.
    token: Option<String>,
}

impl Guard {
    pub(crate) fn new(token: Option<String>) -> Self {
        Self { token }
    }

    /// # Errors
    /// Why it is refused.
    pub(crate) fn check(&self, method: &Method, headers: &HeaderMap, query_token: Option<&str>) -> Result<(), Refused> {
        if method != Method::GET && method != Method::HEAD {
            return Err(Refused::Method);
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).ok_or(Refused::Host)?;
        if headers.get_all(HOST).iter().count() != 1 || !is_address(host) {
            return Err(Refused::Host);
        }
        let is_other = |origin: &axum::http::HeaderValue| origin.as_bytes() != format!("http://{host}").as_bytes();
        if headers.get_all(ORIGIN).iter().any(is_other) {
            return Err(Refused::Origin);
        }
        let Some(token) = &self.token else { return Ok(()) };
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let cookies = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let cookie = cookies.filter(|(name, _)| *name == COOKIE_NAME).map(|(_, value)| value);
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        if query_token.into_iter().chain(bearer).chain(cookie).any(|given| is_same(given, token)) {
            Ok(())
        } else {
            Err(Refused::Token)
        }
    }

    /// The token, where one is required.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }
}

/// Whether a host is an address or `localhost`, which no foreign name server can point elsewhere.
fn is_address(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

/// Takes the same time wherever two texts of one length differ.
fn is_same(given: &str, token: &str) -> bool {
    given.len() == token.len() && given.bytes().zip(token.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

/// 32 random hexadecimal digits; `None` where the system has no randomness.
pub(crate) fn random_token() -> Option<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(guard: &Guard, pairs: &[(&'static str, &str)]) -> Result<(), Refused> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        guard.check(&Method::GET, &headers, None)
    }

    #[test]
    fn hosts_that_are_addresses() {
        for good in ["127.0.0.1", "127.0.0.1:80", "localhost:1", "LocalHost", "[::1]:9", "192.168.1.7:8000"] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
            "127.0.0.1:80@evil",
            "[::1",
            "x:1",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }

    #[test]
    fn other_sites_are_refused() {
        let open = Guard::new(None);
        let host = ("host", "127.0.0.1:9");
        assert_eq!(ask(&open, &[host]), Ok(()));
        assert_eq!(ask(&open, &[host, ("origin", "http://127.0.0.1:9")]), Ok(()));
        for origin in ["null", "http://127.0.0.1:10", "https://127.0.0.1:9", "http://evil.example"] {
            assert_eq!(ask(&open, &[host, ("origin", origin)]), Err(Refused::Origin), "{origin}");
        }
        assert_eq!(ask(&open, &[]), Err(Refused::Host));
        assert_eq!(ask(&open, &[host, ("host", "127.0.0.1:9")]), Err(Refused::Host));
        assert_eq!(open.check(&Method::POST, &HeaderMap::new(), None), Err(Refused::Method));
    }

    #[test]
    fn a_token_is_asked_for() {
        let guard = Guard::new(random_token());
        let token = guard.token().unwrap().to_owned();
        assert_eq!(token.len(), 32);
        assert_ne!(random_token().unwrap(), token);
        let host = ("host", "10.0.0.1:9");
        assert_eq!(ask(&guard, &[host]), Err(Refused::Token));
        assert_eq!(
            ask(&guard, &[host, ("authorization", "Bearer 00000000000000000000000000000000")]),
            Err(Refused::Token)
        );
        assert_eq!(ask(&guard, &[host, ("authorization", &format!("Bearer {token}"))]), Ok(()));
        assert_eq!(ask(&guard, &[host, ("cookie", &format!("a=b; {COOKIE_NAME}={token}"))]), Ok(()));
    }
}
