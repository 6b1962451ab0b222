//! Token buckets: how much one client may ask for, and when it may ask again.
//!
//! A bucket is one number, the time at which it will be full again. Whoever finds a single
//! token takes as many as the request needs, if need be on credit: a batch that is larger than
//! the bucket is not refused for ever, and what it costs too much is waited for by the next.

use std::{collections::HashMap, hash::Hash, net::IpAddr, time::Duration};

use parking_lot::Mutex;

/// How fast, for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens that come back each second; more than none.
    pub per_second: u32,
    /// Tokens of a full bucket; more than none.
    pub burst: u32,
}

impl Rate {
    /// Between one token coming back and the next.
    fn interval_ns(self) -> u64 {
        (1_000_000_000 / u64::from(self.per_second.max(1))).max(1)
    }
}

/// Nobody in this much time comes back as somebody new.
const SWEEP_NS: u64 = 1_000_000_000;

/// The buckets of many clients; full ones are forgotten, since a new one is full.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    most: usize,
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K> {
    full_again: HashMap<K, u64>,
    /// What those share for whom there is no more room.
    others: u64,
    swept: u64,
}

impl<K: Eq + Hash> Buckets<K> {
    /// At most so many clients are told apart at a time.
    pub(super) fn new(most: usize) -> Self {
        let state = State { full_again: HashMap::new(), others: 0, swept: 0 };
        Self { most, state: Mutex::new(state) }
    }

    /// Takes that many tokens.
    ///
    /// # Errors
    /// How long the client has to wait until there is one.
    pub(super) fn take(
        &self,
        client: K,
        tokens: u32,
        rate: Rate,
        now: Duration,
    ) -> Result<(), Duration> {
        // Half a millennium of nanoseconds fits.
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX / 2);
        let mut state = self.state.lock();
        let state = &mut *state;
        if state.full_again.len() >= self.most && now.saturating_sub(state.swept) >= SWEEP_NS {
            state.full_again.retain(|_, full| *full > now);
            state.swept = now;
        }
        let full = if state.full_again.contains_key(&client) || state.full_again.len() < self.most {
            state.full_again.entry(client).or_insert(now)
        } else {
            &mut state.others
        };
        let from = (*full).max(now);
        let interval = rate.interval_ns();
        let bucket = interval.saturating_mul(rate.burst.into());
        let too_early = (from + interval).saturating_sub(now + bucket);
        if too_early > 0 {
            return Err(Duration::from_nanos(too_early));
        }
        *full = from.saturating_add(interval.saturating_mul(tokens.into()));
        Ok(())
    }
}

/// Whom an address counts for: itself, or the network of 2⁶⁴ addresses that one IPv6
/// customer is given.
pub(super) fn network_of(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 3 };

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_bucket_lets_pass_its_burst_and_then_its_rate() {
        let buckets = Buckets::new(10);
        #[rustfmt::skip]
        let table = [
            // at, tokens, wait
            (  0, 1, None,      "the first of three"),
            (  0, 1, None,      "the second"),
            (  0, 1, None,      "the third"),
            (  0, 1, Some(100), "empty: one comes back every 100 ms"),
            ( 60, 1, Some(40),  "not yet; being refused costs nothing"),
            (100, 1, None,      "now"),
            (100, 1, Some(100), "and empty again"),
            (900, 1, None,      "it is full, and fuller it does not get"),
            (900, 5, None,      "two are there; a batch may borrow three more"),
            (900, 1, Some(400), "which come first"),
            (1299, 1, Some(1),  "to the millisecond"),
            (1300, 1, None,     "when they are paid back"),
        ];
        for (at, tokens, wait, why) in table {
            let answer = buckets.take("client", tokens, RATE, ms(at));
            assert_eq!(answer.err(), wait.map(ms), "at {at}: {why}");
        }
        assert_eq!(buckets.take("other", 3, RATE, ms(900)), Ok(()), "everyone has a bucket");
    }

    #[test]
    fn whoever_comes_back_when_told_is_let_in() {
        for rate in [RATE, Rate { per_second: 3, burst: 1 }, Rate { per_second: 7, burst: 50 }] {
            let buckets = Buckets::new(10);
            let mut now = ms(5);
            for tokens in (1..200).map(|n| n * 7 % 13 + 1) {
                if let Err(wait) = buckets.take("client", tokens, rate, now) {
                    let early = now + wait - Duration::from_nanos(1);
                    assert!(buckets.take("client", tokens, rate, early).is_err());
                    now += wait;
                    assert_eq!(buckets.take("client", tokens, rate, now), Ok(()));
                }
            }
        }
    }

    #[test]
    fn no_more_clients_are_remembered_than_were_asked_for() {
        let buckets = Buckets::new(100);
        for client in 0..1000 {
            let _ = buckets.take(client, 1, RATE, ms(0));
        }
        assert_eq!(buckets.state.lock().full_again.len(), 100);
        assert!(buckets.take(5000, 1, RATE, ms(0)).is_err(), "the rest share one bucket");
        assert_eq!(buckets.take(5, 1, RATE, ms(0)), Ok(()), "those known keep theirs");
        assert_eq!(buckets.take(5000, 1, RATE, ms(2000)), Ok(()));
        assert_eq!(buckets.state.lock().full_again.len(), 1, "full buckets are forgotten");
    }

    #[test]
    fn one_customer_is_one_client() {
        #[rustfmt::skip]
        let table = [
            ("192.0.2.1",   "::ffff:192.0.2.1",   true,  "one IPv4 address in two spellings"),
            ("192.0.2.1",   "192.0.2.2",          false, "two IPv4 addresses"),
            ("2001:db8::1", "2001:db8::ffff:1:2", true,  "one /64"),
            ("2001:db8::1", "2001:db8:0:1::1",    false, "two /64"),
        ];
        for (one, other, same, why) in table {
            let [one, other] = [one, other].map(|text| network_of(text.parse().unwrap()));
            assert_eq!(one == other, same, "{why}");
        }
    }
}
