//! `cairn completions` and `cairn man`: made from the same description of the command line
//! that reads it.

use std::{fs, path::PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use serde_json::json;

use super::{Cli, print::Printed};
use crate::exit::Failure;

/// Print the completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cairn completions bash > ~/.local/share/bash-completion/completions/cairn\n  \
    cairn completions zsh > ~/.zfunc/_cairn          with fpath+=~/.zfunc before compinit\n  \
    cairn completions fish > ~/.config/fish/completions/cairn.fish")]
pub(super) struct Completions {
    /// Which shell
    shell: Shell,
}

/// Write the manual pages into a directory, one for each command
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    cairn man ~/.local/share/man/man1 && man cairn-asset-create")]
pub(super) struct Man {
    /// The directory, made where it is not there
    directory: PathBuf,
}

pub(super) fn completions(arguments: &Completions) -> Printed {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "cairn", &mut script);
    Printed { table: String::from_utf8_lossy(&script).into_owned(), json: None }
}

pub(super) fn man(arguments: &Man) -> Result<Printed, Failure> {
    let directory = &arguments.directory;
    let fail = |error: std::io::Error| {
        Failure::general(format!("{} cannot be written: {error}", directory.display()))
    };
    fs::create_dir_all(directory).map_err(fail)?;
    clap_mangen::generate_to(Cli::command(), directory).map_err(fail)?;
    let shown = directory.display().to_string();
    Ok(Printed::fields(&[("manual pages", shown)], json!({ "directory": directory })))
}

#[cfg(test)]
mod tests {
    use clap::{Command, ValueEnum};

    use super::*;

    /// The words of every command, as in `["asset", "create"]`.
    fn commands(command: &Command, above: &[String], found: &mut Vec<Vec<String>>) {
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let mut words = above.to_vec();
            words.push(sub.get_name().to_owned());
            found.push(words.clone());
            commands(sub, &words, found);
        }
    }

    fn all() -> Vec<Vec<String>> {
        let mut found = Vec::new();
        commands(&Cli::command(), &[], &mut found);
        assert!(found.len() > 25, "{found:?}");
        found
    }

    #[test]
    fn every_command_has_a_manual_page_that_names_its_flags() {
        let directory = std::env::temp_dir().join(format!("cairn-man-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        man(&Man { directory: directory.clone() }).unwrap();
        for words in all() {
            let path = directory.join(format!("cairn-{}.1", words.join("-")));
            assert!(fs::read_to_string(&path).unwrap().contains(".SH SYNOPSIS"), "{words:?}");
        }
        let create = fs::read_to_string(directory.join("cairn-asset-create.1")).unwrap();
        assert!(create.contains("metadata") && create.contains("Examples"), "{create}");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn every_shell_completes_every_command() {
        for shell in Shell::value_variants() {
            let script = completions(&Completions { shell: *shell }).table;
            for word in all().iter().flatten() {
                assert!(script.contains(word), "{shell} does not know {word}");
            }
        }
    }

    #[test]
    fn every_command_teaches_by_example() {
        let command = Cli::command();
        for words in all() {
            let of = words.iter().fold(&command, |above, word| {
                above.find_subcommand(word).expect("it was found before")
            });
            // Groups list their commands; verbs without choices need no example.
            let flat = of.get_subcommands().next().is_none();
            let taught =
                of.get_after_help().is_some_and(|help| help.to_string().contains("cairn "));
            let plain = ["genesis show", "genesis verify"].contains(&words.join(" ").as_str());
            assert!(!flat || taught || plain, "cairn {} has no example", words.join(" "));
        }
    }
}
