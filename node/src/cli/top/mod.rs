//! `cairn top`: a federation on one screen, as `top` shows a machine. What validators answer
//! (`ask`) becomes what happened lately (`history`), that a view (`view`), and that a screen
//! (`screen`) or a table.

mod ask;
mod columns;
mod exposition;
mod figures;
mod histogram;
mod history;
mod numbers;
mod screen;
mod terminal;
#[cfg(test)]
mod tests;
mod view;

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    thread,
    time::Duration,
};

use cairn_ledger::limits::VALIDATORS_MAX;
use clap::Args;
use ureq::tls::TlsConfig;

use self::{
    ask::{Admin, Askers, Manner, Moment, PATIENCE},
    columns::{Aged, of_blocks, of_validators},
    history::History,
    numbers::{known, rate, seconds},
    screen::Choices,
    view::{Row, View},
};
use super::{
    Context, client,
    dev::admin_ports,
    print::{self, Printed},
};
use crate::{
    clock::Stopwatch,
    exit::{ExitCode, Failure},
};

/// Most often and most seldom that validators are asked, in seconds.
const INTERVAL_MIN: f64 = 0.1;
const INTERVAL_MAX: f64 = 3600.0;

/// How many blocks a table has.
const BLOCKS_SHOWN: usize = 10;

/// Show a federation on one screen: who votes, how fast, what is in the way.
#[derive(Debug, Args)]
#[command(after_help = "\
Validators are asked at their admin ports, all at once, and need no key. Whoever does not answer within
2 s is shown as such. Rates, latencies and missed votes are of the last ten looks.

Keys: q, Esc or Ctrl-C end it, p pauses, j k and the arrows scroll, ? explains the columns.
Colours are left out where NO_COLOR is set.

On Kubernetes, reach the admin ports by kubectl, one process for each validator:
  kubectl port-forward pod/demo-alice-0 10001:9986 &
  kubectl port-forward pod/demo-bob-0 10002:9986 &
  cairn top --admin 127.0.0.1:10001,127.0.0.1:10002

Examples:
  cairn top                                          a cairn dev of four
  cairn top --admin 127.0.0.1:9986 --admin 127.0.0.1:9996 --interval 5
  cairn top --once                                   two looks, then a table
  cairn top --once --output json | jq .federation.committed_per_second

With --once the exit code is 0 when more than two thirds of the voting power answer, else 1.")]
pub(super) struct Arguments {
    /// A validator's admin port; repeated, or with commas between
    /// [default: those of a cairn dev of four: 127.0.0.1:9986, 9996, 10006, 10016]
    #[arg(long, env = "CAIRN_ADMIN", value_name = "HOST:PORT", value_delimiter = ',')]
    admin: Vec<Admin>,
    /// The certificate authority to trust instead of the public ones, in PEM, where admin ports are
    /// under TLS: https://HOST:PORT
    #[arg(long, env = "CAIRN_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// How often they are asked, in seconds
    #[arg(long, default_value = "1", value_name = "SECONDS", value_parser = interval)]
    interval: Interval,
    /// Ask twice, one interval apart, print what was seen and end
    #[arg(long)]
    once: bool,
}

/// How often validators are asked.
#[derive(Clone, Debug)]
struct Interval {
    /// As it was typed.
    text: String,
    every: Duration,
}

fn interval(text: &str) -> Result<Interval, String> {
    let fine = format!("{INTERVAL_MIN} to {INTERVAL_MAX} seconds would be fine");
    let seconds: f64 = text.parse().map_err(|_| format!("no number; {fine}"))?;
    if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&seconds) {
        return Err(fine);
    }
    Ok(Interval { text: text.to_owned(), every: Duration::from_secs_f64(seconds) })
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> Result<Printed, Failure> {
    let admins = admins(&arguments.admin)?;
    let usage = |why: &str| Err(Failure::new(ExitCode::Usage, why));
    if !arguments.once {
        if context.output == super::Output::Json {
            return usage(
                "a screen is no JSON: --output table draws it, --once prints what it would show",
            );
        }
        if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
            return usage("there is no terminal to draw on; --once prints what it would show");
        }
    }
    let tls = client::tls(context.profile.ca(arguments.ca.as_deref()).as_deref())?;
    let mut watching = Watching::start(admins, tls, arguments.interval.every)?;
    if arguments.once {
        return once(&mut watching, context);
    }
    let choices = Choices {
        // As no-color.org has it: any text counts.
        colours: std::env::var_os("NO_COLOR").is_none_or(|text| text.is_empty()),
        every: arguments.interval.text.clone(),
        ..Choices::default()
    };
    terminal::run(&mut watching, choices)?;
    Ok(Printed::nothing())
}

/// Those that were named, each once; or those of a `cairn dev`.
fn admins(named: &[Admin]) -> Result<Vec<Admin>, Failure> {
    let mut admins: Vec<Admin> = Vec::with_capacity(named.len());
    for admin in named {
        if !admins.contains(admin) {
            admins.push(admin.clone());
        }
    }
    if admins.len() > VALIDATORS_MAX {
        let count = admins.len();
        let why =
            format!("--admin: {count} are too many; a federation has {VALIDATORS_MAX} at most");
        return Err(Failure::new(ExitCode::Usage, why));
    }
    if admins.is_empty() {
        let local = |port| format!("127.0.0.1:{port}").parse();
        admins = admin_ports()
            .into_iter()
            .map(local)
            .collect::<Result<_, _>>()
            .map_err(Failure::general)?;
    }
    Ok(admins)
}

/// Asks validators again and again, and remembers what they said.
struct Watching {
    admins: Vec<Admin>,
    askers: Askers,
    history: History,
    every: Duration,
    since: Stopwatch,
    /// When everybody was asked last.
    asked: Option<Stopwatch>,
}

impl Watching {
    fn start(admins: Vec<Admin>, tls: TlsConfig, every: Duration) -> Result<Self, Failure> {
        let since = Stopwatch::start();
        let manner = Manner { tls, patience: PATIENCE, since };
        let askers = Askers::start(&admins, &manner)?;
        let history = History::new(admins.len());
        Ok(Self { admins, askers, history, every, since, asked: None })
    }

    /// Whether it is time to ask again.
    fn due(&self) -> bool {
        self.asked.is_none_or(|asked| asked.elapsed() >= self.every)
    }

    /// Asks everybody who is not being asked.
    fn ask(&mut self) -> Result<(), Failure> {
        if self.asked.replace(Stopwatch::start()).is_some() {
            self.history.round();
        }
        self.askers.ask()
    }

    /// Takes the answers that are there; whether there were any.
    fn hear(&mut self) -> Result<bool, Failure> {
        let mut any = false;
        while let Some((validator, answer)) = self.askers.heard()? {
            self.history.take(validator, answer);
            any = true;
        }
        Ok(any)
    }

    /// Waits until everybody has answered, or that long.
    fn hear_all(&mut self, longest: Duration) -> Result<(), Failure> {
        let watch = Stopwatch::start();
        while self.askers.asking() {
            let left = longest.saturating_sub(watch.elapsed());
            let Some((validator, answer)) = self.askers.hear(left)? else { break };
            self.history.take(validator, answer);
        }
        Ok(())
    }

    fn view(&self) -> View {
        view::view(&self.history, &self.admins, Moment::now(&self.since))
    }
}

/// Two looks, printed; a failure where no quorum answers.
fn once(watching: &mut Watching, context: &Context) -> Result<Printed, Failure> {
    // Longer than anybody is waited for.
    let all = PATIENCE * 10;
    watching.ask()?;
    watching.hear_all(all)?;
    let passed = watching.asked.map(|asked| asked.elapsed()).unwrap_or_default();
    thread::sleep(watching.every.saturating_sub(passed));
    watching.ask()?;
    watching.hear_all(all)?;
    let view = watching.view();
    let json = serde_json::to_value(&view).map_err(Failure::general)?;
    let printed = Printed { table: table(&view), json: Some(json) };
    print::out(&printed.text(context.output))?;
    if view.federation.quorum_answers {
        return Ok(Printed::nothing());
    }
    Err(Failure::general(no_quorum(&view)))
}

fn no_quorum(view: &View) -> String {
    let silent = view.validators.iter().filter(|row| row.state == view::State::NotAnswering);
    let why =
        |row: &Row| format!("{}: {}", row.name(), row.because.as_deref().unwrap_or("no answer"));
    let silent: Vec<String> = silent.map(why).collect();
    let of = &view.federation;
    let all = of.validators.unwrap_or(view.validators.len() as u64);
    let rest = if silent.is_empty() { String::new() } else { format!(" ({})", silent.join("; ")) };
    format!("no quorum answers: {} of {all} validators do{rest}", of.answering)
}

/// For people who have no terminal.
fn table(view: &View) -> String {
    let of = &view.federation;
    let all = known(of.validators, |it| it.to_string());
    let fields = [
        ("federation", known(of.name.clone(), |it| it)),
        ("chain", known(of.chain_id.clone(), |it| it)),
        ("answering", format!("{} of {all}", of.answering)),
        ("state", view.quorum_words()),
        ("height", known(of.height, |it| it.to_string())),
        ("log led by", known(of.leader.clone(), |it| it)),
        ("committed", known(of.committed_per_second, |it| format!("{}/s", rate(it)))),
        ("refused", known(of.refused_per_second, |it| format!("{}/s", rate(it)))),
        ("blocks", known(of.blocks_per_second, |it| format!("{}/s", rate(it)))),
        ("interval", known(of.block_interval_seconds, seconds)),
        ("commit p50", known(of.commit_p50_seconds, seconds)),
        ("commit p99", known(of.commit_p99_seconds, seconds)),
        ("fsync p99", known(of.fsync_p99_seconds, seconds)),
        ("append p99", known(of.append_p99_seconds, seconds)),
    ];
    let fields: Vec<Vec<String>> =
        fields.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    let mut validators = columns::table(&of_validators(), &view.validators);
    for (line, row) in validators.iter_mut().skip(1).zip(&view.validators) {
        let why = row.because.as_ref().or(row.metrics_error.as_ref());
        line.extend(why.map(|why| format!("({why})")));
    }
    let blocks = view.blocks.iter().take(BLOCKS_SHOWN);
    let blocks: Vec<Aged<'_>> = blocks.map(|seen| Aged { seen, unix_ms: view.unix_ms }).collect();
    let mut text = format!("{}\n{}", print::table(&fields), print::table(&validators));
    if !blocks.is_empty() {
        text.push_str(&format!("\n{}", print::table(&columns::table(&of_blocks(), &blocks))));
    }
    text
}
