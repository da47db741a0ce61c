// SPDX-License-Identifier: AGPL-3.0-or-later
//! Addresses on the web: just as much of RFC 3986 as downloads need, and nothing ambiguous.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest address, in bytes.
const MAX: usize = 8192;

/// An `http` or `https` address without a user or a fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    secure: bool,
    /// Host and port, lower case.
    authority: String,
    /// Begins with `/`.
    path: String,
    query: Option<String>,
}

impl Link {
    /// Reads an absolute address.
    ///
    /// # Errors
    /// What is wrong with it; the text itself is not repeated, it may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        check(text)?;
        let (secure, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            _ => return Err("accepted: an address that begins with https:// or http://".into()),
        };
        let rest = rest.split('#').next().unwrap_or(rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let authority = authority.to_ascii_lowercase();
        check_authority(&authority)?;
        let (path, query) = split_query(tail);
        let path = if path.is_empty() { "/".to_owned() } else { path.to_owned() };
        Ok(Self { secure, authority, path, query })
    }

    /// The address that a `Location` header names, seen from here.
    ///
    /// # Errors
    /// As [`Link::parse`].
    pub(crate) fn join(&self, location: &str) -> Result<Self, String> {
        let scheme = if self.secure { "https" } else { "http" };
        check(location)?;
        let location = location.split('#').next().unwrap_or(location);
        let before_path = &location[..location.find(['/', '?']).unwrap_or(location.len())];
        if before_path.contains(':') {
            return Self::parse(location);
        }
        if location.starts_with("//") {
            return Self::parse(&format!("{scheme}:{location}"));
        }
        let (path, query) = split_query(location);
        let path = match path {
            "" => self.path.clone(),
            path if path.starts_with('/') => path.to_owned(),
            path => {
                let folder = &self.path[..=self.path.rfind('/').unwrap_or(0)];
                format!("{folder}{path}")
            }
        };
        Ok(Self { path, query, ..self.clone() })
    }

    /// This address with `tail` behind its path; each part between slashes is escaped.
    pub(crate) fn below(&self, tail: &[&str]) -> Self {
        let mut path = self.path.trim_end_matches('/').to_owned();
        for part in tail {
            path.push('/');
            path.push_str(&escape(part));
        }
        Self { path, query: None, ..self.clone() }
    }

    /// The same with this query, which is taken as it stands.
    pub(crate) fn with_query(self, query: &str) -> Self {
        Self { query: Some(query.into()), ..self }
    }

    /// Whether nobody between here and there can change what is sent.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether it stays on this machine.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        host == "localhost"
            || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
            || host
                .strip_prefix('[')
                .and_then(|host| host.strip_suffix(']')?.parse::<Ipv6Addr>().ok())
                .is_some_and(|ip| ip.is_loopback())
    }

    /// Scheme, host and port.
    pub(crate) fn origin(&self) -> (bool, &str) {
        (self.secure, &self.authority)
    }

    /// Without the query, which may hold a secret.
    pub fn shown(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority, self.path)
    }

    /// The last part of the path, unescaped; none if it ends in a slash or is not UTF-8.
    pub fn file_name(&self) -> Option<String> {
        let last = self.path.rsplit('/').next().filter(|last| !last.is_empty())?;
        let (mut bytes, mut rest) = (Vec::new(), last.as_bytes());
        while let Some((&first, tail)) = rest.split_first() {
            let digits = tail.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
            match (first, digits.and_then(|digits| std::str::from_utf8(digits).ok())) {
                (b'%', Some(digits)) => {
                    bytes.push(u8::from_str_radix(digits, 16).ok()?);
                    rest = &tail[2..];
                }
                _ => {
                    bytes.push(first);
                    rest = tail;
                }
            }
        }
        String::from_utf8(bytes).ok()
    }

    fn host(&self) -> &str {
        split_port(&self.authority).0
    }
}

/// The whole address.
impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())?;
        self.query.as_ref().map_or(Ok(()), |query| write!(f, "?{query}"))
    }
}

fn split_query(text: &str) -> (&str, Option<String>) {
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (text, None),
    }
}

fn check(text: &str) -> Result<(), String> {
    if text.len() > MAX {
        return Err(format!("longer than {MAX} bytes"));
    }
    let odd = |c: char| {
        !c.is_ascii_graphic() || matches!(c, '\\' | '"' | '<' | '>' | '^' | '`' | '{' | '|' | '}')
    };
    match text.chars().find(|&c| odd(c)) {
        Some(c) => Err(format!("holds the character {c:?}; write it as %XX")),
        None => Ok(()),
    }
}

/// Host and port, with the colon.
fn split_port(authority: &str) -> (&str, &str) {
    let bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let colon = authority[bracket..].find(':').map_or(authority.len(), |at| bracket + at);
    authority.split_at(colon)
}

fn check_authority(authority: &str) -> Result<(), String> {
    if authority.contains('@') {
        return Err("holds a user name; it would be recorded with the model".into());
    }
    let (host, port) = split_port(authority);
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let good = match inner {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
            !host.is_empty() && host.len() <= 253 && host.bytes().all(plain)
        }
    };
    if !good {
        return Err("its host is neither a name nor an IP address".into());
    }
    match port.strip_prefix(':').map(str::parse::<u16>) {
        None => Ok(()),
        Some(Ok(port)) if port > 0 => Ok(()),
        _ => Err("its port is not a number from 1 to 65535".into()),
    }
}

fn escape(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    for byte in part.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(text: &str) -> Link {
        Link::parse(text).unwrap()
    }

    #[test]
    fn only_plain_addresses_are_read() {
        assert_eq!(
            link("HTTPS://Host.Example:8443/a/b?q=1#part").to_string(),
            "https://host.example:8443/a/b?q=1"
        );
        assert_eq!(link("http://h").to_string(), "http://h/");
        assert_eq!(link("http://h?x").to_string(), "http://h/?x");
        assert_eq!(link("https://h/a?secret").shown(), "https://h/a");
        for bad in [
            "",
            "h/a",
            "ftp://h/a",
            "file:///etc/passwd",
            "https://",
            "https:///a",
            "https://user:pw@h/a",
            "https://h:0/",
            "https://h:99999/",
            "https://h:x/",
            "https://[::1/",
            "https://a b/",
            "https://h/a b",
            "https://h/\n",
            "https://h\\@evil/",
            "https://hö/",
            "https://[zz]/",
            "https://h:1:2/",
            &format!("https://h/{}", "a".repeat(9000)),
        ] {
            assert!(Link::parse(bad).is_err(), "{bad:?}");
        }
        assert!(!Link::parse("https://user:hunter2@h/").unwrap_err().contains("hunter2"));
    }

    #[test]
    fn locations_are_seen_from_where_they_were_sent() {
        let here = link("https://h:1/a/b?x");
        for (location, there) in [
            ("/c", "https://h:1/c"),
            ("c?y", "https://h:1/a/c?y"),
            ("?y", "https://h:1/a/b?y"),
            ("//i/c", "https://i/c"),
            ("http://i/c", "http://i/c"),
            ("/c?u=http://x", "https://h:1/c?u=http://x"),
            ("c?t=12:30", "https://h:1/a/c?t=12:30"),
        ] {
            assert_eq!(here.join(location).unwrap().to_string(), there, "{location}");
        }
        assert!(here.join("file:///etc/passwd").is_err());
        assert!(here.join("/a\r\nHost: x").is_err());
    }

    #[test]
    fn loopback_is_told_by_the_address() {
        for text in
            ["http://localhost/", "http://127.0.0.1:8000/", "http://127.9.9.9/", "http://[::1]:1/"]
        {
            assert!(link(text).is_loopback(), "{text}");
        }
        for text in [
            "http://localhost.evil.example/",
            "http://127.0.0.1.evil.example/",
            "http://[::2]/",
            "http://10.0.0.1/",
        ] {
            assert!(!link(text).is_loopback(), "{text}");
        }
    }

    #[test]
    fn parts_of_paths_are_escaped_and_file_names_read_back() {
        let file = link("https://h/base/").below(&["org", "m", "refs/pr/1", "a b#?%.json"]);
        assert_eq!(file.to_string(), "https://h/base/org/m/refs%2Fpr%2F1/a%20b%23%3F%25.json");
        assert_eq!(file.file_name().as_deref(), Some("a b#?%.json"));
        assert_eq!(link("https://h/a/").file_name(), None);
        assert_eq!(link("https://h/%ff").file_name(), None);
        assert_eq!(link("https://h/%2e%2e%2Fx%").file_name().as_deref(), Some("../x%"));
    }
}
