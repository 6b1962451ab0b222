//! Sign once, and remember votes across a crash: the signing state and the write-ahead log
//! in one file, so that one fdatasync covers both.
