//! The `cairn` command; all of it is in [`cairn_node::cli`].

fn main() -> std::process::ExitCode {
    cairn_node::cli::main().into()
}
