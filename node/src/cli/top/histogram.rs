//! Histograms as Prometheus has them: counts up to a bound, of which two make what happened between.

use super::exposition::{Page, number};

/// More buckets than any histogram has.
const BUCKETS_MAX: usize = 64;

/// Buckets with the sum and count of what they count.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Histogram {
    /// Upper bound and how many were not above it, by rising bounds; the last bound is infinite.
    buckets: Vec<(f64, f64)>,
    sum: f64,
}

impl Histogram {
    /// All series of a histogram, as one; nothing where the page has none that makes sense.
    pub(super) fn of(page: &Page, name: &str) -> Option<Self> {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (labels, count) in page.all(&format!("{name}_bucket")) {
            let bound = number(labels.get("le")?)?;
            match buckets.iter().position(|(other, _)| *other == bound) {
                Some(at) => buckets[at].1 += count,
                None if buckets.len() == BUCKETS_MAX => return None,
                None => buckets.push((bound, count)),
            }
        }
        buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let rising = buckets.is_sorted_by(|(_, a), (_, b)| a <= b);
        let counts = buckets.iter().all(|(_, count)| count.is_finite() && *count >= 0.0);
        let infinite = buckets.last().is_some_and(|(bound, _)| *bound == f64::INFINITY);
        let sum = page.sum(&format!("{name}_sum"))?;
        (rising && counts && infinite).then_some(Self { buckets, sum })
    }

    /// How many there are.
    pub(super) fn count(&self) -> f64 {
        self.buckets.last().map_or(0.0, |(_, count)| *count)
    }

    /// What they add up to.
    pub(super) fn sum(&self) -> f64 {
        self.sum
    }

    /// Their mean, if there are any.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.count() > 0.0).then(|| self.sum / self.count())
    }

    /// What came since then; nothing where the two are not of one kind or it was counted anew.
    pub(super) fn since(&self, before: &Self) -> Option<Self> {
        let sum = self.sum - before.sum;
        self.with(before, |now, then| now - then, sum)
            .filter(|between| between.buckets.iter().all(|(_, count)| *count >= 0.0))
    }

    /// Both together; nothing where they are not of one kind.
    pub(super) fn and(&self, other: &Self) -> Option<Self> {
        self.with(other, |one, another| one + another, self.sum + other.sum)
    }

    fn with(&self, other: &Self, both: fn(f64, f64) -> f64, sum: f64) -> Option<Self> {
        let pairs = || self.buckets.iter().zip(&other.buckets);
        let alike = self.buckets.len() == other.buckets.len() && pairs().all(|(a, b)| a.0 == b.0);
        let buckets = pairs().map(|(a, b)| (a.0, both(a.1, b.1))).collect();
        alike.then_some(Self { buckets, sum })
    }

    /// The value that this share of them does not exceed, as Prometheus's `histogram_quantile` has
    /// it: a straight line within a bucket, and of the last the bound where it begins.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let rank = share * self.count();
        if self.count() <= 0.0 {
            return None;
        }
        let (mut from, mut below) = (0.0, 0.0);
        for (bound, count) in &self.buckets {
            if *count >= rank && *count > below {
                let within = (rank - below) / (count - below);
                return Some(if bound.is_finite() { from + (bound - from) * within } else { from });
            }
            (from, below) = (*bound, *count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{super::exposition, *};

    fn histogram(text: &str) -> Option<Histogram> {
        Histogram::of(&exposition::read(text, &["h"]).unwrap(), "h")
    }

    fn plain(counts: [u32; 4], sum: f64) -> String {
        let [a, b, c, all] = counts;
        format!(
            "h_bucket{{le=\"0.1\"}} {a}\nh_bucket{{le=\"0.5\"}} {b}\nh_bucket{{le=\"1\"}} {c}\n\
             h_bucket{{le=\"+Inf\"}} {all}\nh_sum {sum}\nh_count {all}\n"
        )
    }

    #[test]
    fn quantiles_are_those_of_prometheus() {
        #[rustfmt::skip]
        let table = [
            ([0, 0, 0, 0],      0.5,  None,       "none counted"),
            ([0, 10, 10, 10],   0.5,  Some(0.3),  "the middle of the only bucket"),
            ([10, 10, 10, 10],  0.5,  Some(0.05), "the first begins at nothing"),
            ([50, 90, 100, 100], 0.99, Some(0.95), "nine tenths into the third"),
            ([0, 0, 0, 10],     0.99, Some(1.0),  "of the last only where it begins is known"),
            ([10, 10, 10, 10],  1.0,  Some(0.1),  "all of them"),
        ];
        for (counts, share, expected, why) in table {
            let quantile = histogram(&plain(counts, 0.0)).unwrap().quantile(share);
            let near = match (quantile, expected) {
                (Some(a), Some(b)) => (a - b).abs() < 1e-9,
                (a, b) => a == b,
            };
            assert!(near, "{why}: {quantile:?}, not {expected:?}");
        }
    }

    #[test]
    fn two_looks_make_what_happened_between() {
        let before = histogram(&plain([1, 2, 3, 4], 5.0)).unwrap();
        let now = histogram(&plain([1, 5, 9, 14], 8.0)).unwrap();
        let between = now.since(&before).unwrap();
        assert_eq!((between.count(), between.mean()), (10.0, Some(0.3)));
        assert_eq!(between.and(&before), Some(now.clone()));
        assert_eq!(before.since(&now), None, "counted anew");
        let other = histogram("h_bucket{le=\"+Inf\"} 20\nh_sum 9\n").unwrap();
        assert_eq!((other.since(&now), other.and(&now)), (None, None), "other buckets");
    }

    #[test]
    fn series_are_one_and_what_makes_no_sense_is_not_known() {
        let both = "h_bucket{class=\"a\",le=\"1\"} 1\nh_bucket{class=\"a\",le=\"+Inf\"} 2\nh_sum{class=\"a\"} 3\n\
                    h_bucket{class=\"b\",le=\"1\"} 4\nh_bucket{class=\"b\",le=\"+Inf\"} 5\nh_sum{class=\"b\"} 6\n";
        let both = histogram(both).unwrap();
        assert_eq!((both.count(), both.sum()), (7.0, 9.0));
        #[rustfmt::skip]
        let table = [
            ("x 1\n",                                                     "none"),
            ("h_bucket{le=\"1\"} 1\nh_sum 1\n",                           "no last bucket"),
            ("h_bucket{le=\"+Inf\"} 1\n",                                 "no sum"),
            ("h_bucket{le=\"+Inf\"} NaN\nh_sum 1\n",                      "no count"),
            ("h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\n",  "fewer in more"),
            ("h_bucket{le=\"one\"} 2\nh_sum 1\n",                         "no bound"),
            ("h_bucket 2\nh_sum 1\n",                                     "no bound at all"),
        ];
        for (text, why) in table {
            assert_eq!(histogram(text), None, "{why}");
        }
        let last = "h_bucket{le=\"+Inf\"} 1\nh_sum 1\n";
        let buckets = |most: usize| -> String {
            (1..most).map(|bound| format!("h_bucket{{le=\"{bound}\"}} 1\n")).collect()
        };
        assert!(histogram(&(buckets(BUCKETS_MAX) + last)).is_some());
        assert_eq!(histogram(&(buckets(BUCKETS_MAX + 1) + last)), None, "more than any has");
    }
}
