//! Runs every script in `tests/plans`: a world is told what happens, and the operator's passes over it are
//! written down. `UPDATE_GOLDENFILES=1` rewrites the expected output; read the diff before committing it.

#[path = "plans_world/audits.rs"]
mod audits;
#[path = "plans_world/conditions.rs"]
mod conditions;
#[path = "plans_world/properties.rs"]
mod properties;
#[path = "plans_world/mod.rs"]
mod world;

use std::{error::Error, fmt::Write as _, fs, path::Path};

use cairn_operator::{
    crd::BlockchainClusterStatus,
    manifest::Kind,
    plan::{Plan, Progress, Step},
    report::Announcement,
};
use goldenscript::{Context, Runner};
use serde_json::{Value, json};
use world::{Pass, World};

#[derive(goldenscript::Command)]
enum Command {
    /// A cluster of these validators, each `name` or `name:power`.
    Cluster(Vec<String>),
    /// Changes a field of the spec, by its JSON pointer; `null` removes it.
    Set {
        pointer: String,
        value: String,
    },
    /// Sets the approval annotation.
    Approve(String),
    /// One pass of the operator.
    Pass,
    /// Everybody but the operator acts once.
    Tick,
    /// Passes and ticks until nothing is written any more; each step in a line.
    Settle,
    /// Passes only, until nothing is written: nobody else acts.
    Idle,
    /// Time passes.
    Wait(i64),
    /// A validator has trouble: unpullable, crashing, unscheduled, unready, silent, behind, unreachable.
    Break {
        validator: String,
        how: String,
    },
    /// Its trouble ends.
    Mend(String),
    /// A validator of another organisation, in the spec.
    Member {
        name: String,
        domain: String,
    },
    /// A validator elsewhere goes down, or comes up.
    Down(String),
    Up(String),
    /// Somebody deletes an object, or a pod.
    Delete {
        kind: String,
        name: String,
    },
    /// Somebody changes an object.
    Drift {
        kind: String,
        name: String,
        pointer: String,
        value: String,
    },
    /// The federation's document is put where `genesisRef` looks: the published one, or a text.
    Reference(String),
    /// An older object claims the same prefix.
    Rival(String),
    /// The conditions as they are.
    Status,
    /// The other fields of the status.
    Members,
}

#[derive(Default)]
struct Script {
    world: Option<World>,
}

impl Runner for Script {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Result<String, Box<dyn Error>> {
        if let Command::Cluster(validators) = command {
            let validators: Vec<Value> = validators.iter().map(|v| validator(v)).collect();
            self.world = Some(World::new(json!({ "validators": validators })));
            return Ok(String::new());
        }
        let world = self.world.as_mut().ok_or("a script begins with `cluster`")?;
        match command {
            Command::Pass => return Ok(pass(world)),
            Command::Settle => return settle(world),
            Command::Idle => return idle(world),
            Command::Status => return Ok(conditions(world)),
            Command::Members => return members(world),
            Command::Tick => world.tick(),
            Command::Wait(seconds) => world.now += jiff::SignedDuration::from_secs(*seconds),
            Command::Approve(generation) => {
                let annotations = world.cluster.metadata.annotations.get_or_insert_default();
                annotations.insert("cairndb.io/approve-update".into(), generation.clone());
            }
            Command::Break { validator, how } => {
                world.broken.insert(validator.clone(), how.clone());
            }
            Command::Mend(validator) => drop(world.broken.remove(validator)),
            Command::Down(validator) => drop(world.down.insert(validator.clone())),
            Command::Up(validator) => drop(world.down.remove(validator)),
            Command::Rival(name) => world.rivals.push(name.clone()),
            Command::Reference(text) => reference(world, text)?,
            Command::Set { pointer, value } => set(world, pointer, value)?,
            Command::Delete { kind, name } if kind == "Pod" => drop(world.pods.remove(name)),
            Command::Delete { kind, name } => {
                let gone = world.objects.remove(&(kind_of(kind)?, name.clone()));
                gone.ok_or_else(|| format!("there is no {kind} {name}"))?;
            }
            Command::Drift { kind, name, pointer, value } => {
                let live = world.objects.get_mut(&(kind_of(kind)?, name.clone()));
                let live = live.ok_or_else(|| format!("there is no {kind} {name}"))?;
                match value.as_str() {
                    "foreign" => put(live, pointer, &json!(foreign()).to_string())?,
                    value => put(live, pointer, value)?,
                }
            }
            Command::Member { name, domain } => member(world, name, domain)?,
            Command::Cluster(_) => unreachable!("done above"),
        }
        Ok(String::new())
    }
}

fn validator(text: &str) -> Value {
    let (name, power) = text.split_once(':').unwrap_or((text, "1"));
    json!({ "name": name, "power": power.parse::<u32>().expect("a power") })
}

fn kind_of(name: &str) -> Result<Kind, Box<dyn Error>> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.names().1 == name);
    Ok(kind.ok_or_else(|| format!("no kind: {name}"))?)
}

/// A person edits the spec.
fn set(world: &mut World, pointer: &str, value: &str) -> Result<(), Box<dyn Error>> {
    let mut spec = serde_json::to_value(&world.cluster.spec)?;
    put(&mut spec, pointer, value)?;
    world.cluster.spec = serde_json::from_value(spec)?;
    *world.cluster.metadata.generation.get_or_insert(0) += 1;
    Ok(())
}

/// Writes a value, as JSON or as a text, at a pointer; makes what is missing on the way.
fn put(at: &mut Value, pointer: &str, value: &str) -> Result<(), Box<dyn Error>> {
    let (parent, field) = pointer.rsplit_once('/').ok_or("a pointer begins with /")?;
    let mut at = at;
    for field in parent.split('/').skip(1).map(|field| field.replace("~1", "/")) {
        at = match field.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[field],
        };
    }
    let value: Value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    let field = field.replace("~1", "/");
    if value.is_null() {
        at.as_object_mut().ok_or("nothing to remove it from")?.remove(&field);
    } else {
        at[field] = value;
    }
    Ok(())
}

/// Somebody else's validator joins the spec.
fn member(world: &mut World, name: &str, domain: &str) -> Result<(), Box<dyn Error>> {
    let [consensus, of_member] = world::keys(name);
    let mut spec = serde_json::to_value(&world.cluster.spec)?;
    let federation = &mut spec["federation"];
    federation["adminDomain"] = "acme".into();
    let mut members = federation["members"].as_array().cloned().unwrap_or_default();
    members.push(json!({
        "name": name, "consensusKey": consensus, "memberKey": of_member,
        "endpoint": format!("{name}.example:9987"), "adminDomain": domain,
    }));
    federation["members"] = members.into();
    world.cluster.spec = serde_json::from_value(spec)?;
    Ok(())
}

/// Another chain's document.
fn foreign() -> String {
    let mut world = World::new(json!({ "validators": [{ "name": "mallory" }] }));
    world.settle(|_, _| {}).expect("it comes to rest");
    let published = &world.objects[&(Kind::ConfigMap, "demo-genesis".to_owned())];
    published["data"]["genesis.json"].as_str().expect("a document").to_owned()
}

/// The federation's document: `own`, made of the keys that the validators show; or the text itself.
fn reference(world: &mut World, text: &str) -> Result<(), Box<dyn Error>> {
    world.reference = Some(match text {
        "own" => {
            let mut cluster = world.cluster.clone();
            cluster.spec.bootstrap.genesis_ref = None;
            let checked = cairn_operator::check::check(&cluster, &world.observe());
            checked
                .map_err(|r| format!("{r:?}"))?
                .genesis
                .ok_or("not all keys are shown")?
                .to_json()
        }
        "foreign" => foreign(),
        other => other.to_owned(),
    });
    Ok(())
}

fn pass(world: &mut World) -> String {
    let before = world.cluster.status.clone();
    let pass = world.pass(usize::MAX);
    let mut text = String::new();
    match &pass.plan {
        Some(plan) => text += &describe(plan),
        None => text += "refused\n",
    }
    text += &changed(before.as_ref(), world);
    for Announcement { warning, reason, action, note: _ } in &pass.news {
        let kind = if *warning { "Warning" } else { "Normal" };
        let _ = writeln!(text, "  event {kind} {reason} ({action})");
    }
    text
}

/// Every pass that wrote something, in a line or two.
fn settle(world: &mut World) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    let mut before = world.cluster.status.clone();
    let rest = world.settle(|pass: &Pass, world: &World| {
        let steps = pass.plan.as_ref().map(steps).unwrap_or_default();
        if !steps.is_empty() {
            let _ = writeln!(text, "{}", steps.join(", "));
        }
        let ready = |status: &Option<BlockchainClusterStatus>| {
            let status = status.as_ref()?;
            let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready")?;
            let done =
                status.conditions.iter().find(|condition| condition.type_ == "Progressing")?;
            Some(format!("Ready={} {}; {}", ready.status, ready.reason, done.message))
        };
        let now = ready(&world.cluster.status);
        if now != ready(&before) {
            let _ = writeln!(text, "  {}", now.unwrap_or_default());
        }
        before = world.cluster.status.clone();
    });
    rest.ok_or("it does not come to rest")?;
    Ok(text)
}

fn idle(world: &mut World) -> Result<String, Box<dyn Error>> {
    for count in 0..10 {
        if !world.pass(usize::MAX).wrote {
            return Ok(format!("nothing is written after {count} passes\n"));
        }
    }
    Err("it does not come to rest".into())
}

/// Long lists of new objects are counted, everything else is named.
fn steps(plan: &Plan) -> Vec<String> {
    let mut steps: Vec<String> = plan.steps.iter().map(step).collect();
    if steps.len() > 12 {
        let applied = plan.steps.iter().filter(|step| matches!(step, Step::Apply(_))).count();
        steps.retain(|step| !step.starts_with("apply") || step.starts_with("apply StatefulSet"));
        steps.insert(0, format!("apply {applied} objects, among them:"));
    }
    steps
}

fn step(step: &Step) -> String {
    match step {
        Step::Apply(manifest) => {
            let replicas = &manifest.value["spec"]["replicas"];
            let stopped = if replicas == 0 { " with no replicas" } else { "" };
            format!("apply {} {}{stopped}", manifest.kind.names().1, manifest.name)
        }
        Step::Publish(manifest) => format!("publish {}", manifest.name),
        Step::Sweep { kind, name, .. } => format!("sweep {} {name}", kind.names().1),
        Step::RestartPod { pod, .. } => format!("restart {pod}"),
        Step::Nudge { pod, .. } => format!("nudge {pod}"),
    }
}

fn describe(plan: &Plan) -> String {
    let mut text: String = steps(plan).iter().map(|step| format!("{step}\n")).collect();
    if let Some(operation) = &plan.operation {
        let _ = writeln!(text, "on record: {:?} of {}", operation.kind, operation.target);
    }
    let _ = match &plan.progress {
        Progress::Settled => writeln!(text, "settled"),
        Progress::Paused => writeln!(text, "paused"),
        Progress::Suspended => writeln!(text, "suspended"),
        Progress::Founding { waiting_for } => writeln!(text, "founding: {waiting_for}"),
        Progress::Starting { waiting_for } => {
            writeln!(text, "starting: {}", waiting_for.join(", "))
        }
        Progress::Updating { target, remaining } => {
            writeln!(text, "updating {target}, {remaining} more")
        }
        Progress::Waiting { reason, message } => writeln!(text, "waiting: {reason}: {message}"),
        Progress::Halted { target, message } => writeln!(text, "halted at {target}: {message}"),
    };
    text
}

/// Conditions that are not as they were.
fn changed(before: Option<&BlockchainClusterStatus>, world: &World) -> String {
    let conditions = world.cluster.status.iter().flat_map(|status| &status.conditions);
    let was = |name: &str| before?.conditions.iter().find(|condition| condition.type_ == name);
    let changed = conditions.filter(|now| {
        was(&now.type_).is_none_or(|was| {
            (&was.status, &was.reason, &was.message) != (&now.status, &now.reason, &now.message)
        })
    });
    changed.map(line).collect()
}

fn line(condition: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition) -> String {
    format!(
        "  {}={} {}: {}\n",
        condition.type_, condition.status, condition.reason, condition.message
    )
}

fn conditions(world: &World) -> String {
    world.cluster.status.iter().flat_map(|status| &status.conditions).map(line).collect()
}

fn members(world: &World) -> Result<String, Box<dyn Error>> {
    let status = world.cluster.status.as_ref().ok_or("no status yet")?;
    let mut text = String::new();
    for member in &status.members {
        let ready = member.ready.map_or("unknown".to_owned(), |ready| ready.to_string());
        write!(text, "{}: {:?}, ready {ready}, power {}", member.name, member.role, member.power)?;
        if let Some(lag) = member.lag {
            write!(text, ", lag {lag:?}")?;
        }
        match &member.message {
            Some(message) => writeln!(text, ", {message}")?,
            None => writeln!(text)?,
        }
    }
    writeln!(text, "ready {}/{}", status.ready_validators, status.validators)?;
    writeln!(text, "updated {}", status.updated_validators)?;
    writeln!(text, "quorum {}", status.quorum.as_deref().unwrap_or("unknown"))?;
    writeln!(text, "leader {}", status.leader.as_deref().unwrap_or("unknown"))?;
    if let Some(trust) = &status.trust {
        let (domains, largest) = (trust.admin_domains, &trust.largest_domain);
        writeln!(
            text,
            "domains {domains}, the largest {largest}, f {}",
            trust.byzantine_tolerated
        )?;
    }
    Ok(text)
}

#[test]
fn scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let mut failed = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("the scripts folder exists") {
        let path = entry.expect("readable").path();
        count += 1;
        if let Err(error) = goldenscript::run(&mut Script::default(), &path) {
            failed.push(format!("{}: {error}", path.display()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(count > 10, "the scripts are there");
}
