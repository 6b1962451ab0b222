//! Which address a request comes from, when a proxy stands in between.

use std::{fmt, net::IpAddr, str::FromStr};

use axum::http::HeaderMap;

/// A network, as `10.0.0.0/8`; or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

/// It is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no network; 10.0.0.0/8 or 2001:db8::1 would be fine")]
pub struct NotANetwork;

impl FromStr for Network {
    type Err = NotANetwork;
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(most), str::parse).map_err(|_| NotANetwork)?;
        if prefix > most {
            return Err(NotANetwork);
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(32 - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(128 - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// The last address in the chain that no trusted proxy has. What stands further left anyone
/// can have written.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, proxies: &[Network]) -> IpAddr {
    let trusted = |address: IpAddr| proxies.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    let forwarded = headers.get_all("x-forwarded-for").iter().rev();
    let hops = forwarded.flat_map(|value| value.to_str().unwrap_or("").rsplit(','));
    for hop in hops {
        if !trusted(client) {
            return client;
        }
        match read(hop.trim()) {
            Some(address) => client = address,
            // A proxy that writes what cannot be read is as far as we can see.
            None => return client,
        }
    }
    client
}

/// Some proxies write ports.
fn read(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let socket = || text.parse().ok().map(|socket: std::net::SocketAddr| socket.ip());
    bare.parse().ok().or_else(socket).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_proxies_that_are_trusted_are_believed() {
        let proxies = ["10.0.0.0/8", "2001:db8::/32"].map(|text| text.parse().unwrap());
        #[rustfmt::skip]
        let table: [(&str, &[&str], &str, &str); 11] = [
            ("192.0.2.1",       &[],                                "192.0.2.1",    "nobody in between"),
            ("192.0.2.1",       &["198.51.100.7"],                  "192.0.2.1",    "a stranger says so"),
            ("10.1.2.3",        &["198.51.100.7"],                  "198.51.100.7", "a proxy says so"),
            ("10.1.2.3",        &["1.1.1.1, 198.51.100.7"],         "198.51.100.7", "what the client wrote itself"),
            ("10.1.2.3",        &["198.51.100.7, 10.9.9.9"],        "198.51.100.7", "two proxies"),
            ("10.1.2.3",        &["198.51.100.7", "10.9.9.9"],      "198.51.100.7", "in two lines"),
            ("10.1.2.3",        &["10.9.9.9"],                      "10.9.9.9",     "a client among the proxies"),
            ("10.1.2.3",        &["nonsense"],                      "10.1.2.3",     "no address"),
            ("10.1.2.3",        &["198.51.100.7:4711"],             "198.51.100.7", "with a port"),
            ("2001:db8::1",     &["[2001:dead::1]:80"],             "2001:dead::1", "IPv6 with a port"),
            ("::ffff:10.1.2.3", &["[2001:dead::1]"],                "2001:dead::1", "mapped, bracketed"),
        ];
        for (peer, forwarded, wanted, why) in table {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            let found = client(peer.parse().unwrap(), &headers, &proxies);
            assert_eq!(found, wanted.parse::<IpAddr>().unwrap(), "{why}");
        }
    }

    #[test]
    fn a_network_is_written_as_usual() {
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(
            all.contains("255.1.2.3".parse().unwrap()) && !all.contains("::1".parse().unwrap())
        );
        let one: Network = "::1".parse().unwrap();
        assert!(one.contains("::1".parse().unwrap()) && !one.contains("::2".parse().unwrap()));
        assert_eq!(one.to_string(), "::1/128");
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "host/8"] {
            assert_eq!(wrong.parse::<Network>(), Err(NotANetwork), "{wrong}");
        }
    }
}
