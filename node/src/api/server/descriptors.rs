//! File descriptors: every connection costs one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the rest of a validator may need: segments, the index, the mesh, the log.
const RESERVE: usize = 1024;

/// Asks for as many descriptors as this process may have, and says how many of `asked`
/// connections fit among them.
pub fn make_room(asked: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    let have = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::debug!(%error, "the limit of file descriptors stays as it is");
            current
        }
    };
    let have = have.map_or(usize::MAX, |have| usize::try_from(have).unwrap_or(usize::MAX));
    let fit = fitting(asked, have);
    if fit < asked {
        tracing::warn!(
            descriptors = have,
            connections = fit,
            asked,
            "too few file descriptors for all connections: `ulimit -Hn` says how many there may be"
        );
    }
    fit
}

/// A quarter of very few descriptors is enough for the rest.
fn fitting(asked: usize, have: usize) -> usize {
    asked.min(have - RESERVE.min(have / 4)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_the_rest() {
        #[rustfmt::skip]
        let table = [
            (16_384, usize::MAX, 16_384, "no limit"),
            (16_384, 20_000,     16_384, "a limit that is wide enough"),
            (16_384, 10_000,      8_976, "a narrow one"),
            (16_384,  1_024,        768, "very few"),
            (    10,      0,          1, "none: accepting says so itself"),
        ];
        for (asked, have, fit, why) in table {
            assert_eq!(fitting(asked, have), fit, "{why}");
        }
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        make_room(1);
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
    }
}
