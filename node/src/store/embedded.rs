//! The store on local files.
