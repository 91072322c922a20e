//! Proves the judge: known bugs are planted in a copy of the sources, one after another, and each must be caught.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::campaign::CampaignError;

/// With it every bug below has been caught.
const SEED: &str = "7";

/// A patch of tests/faults/planted, with what its head says.
struct Bug {
    name: String,
    patch: PathBuf,
    cases: Vec<String>,
    /// The promises that it breaks: another one says that something else is wrong.
    expects: Vec<String>,
    options: Vec<String>,
}

struct Caught {
    case: String,
    invariant: String,
    what: String,
    seconds: u64,
}

/// Plants these bugs, or all; whether each was caught.
pub async fn run(names: &[String]) -> Result<bool, CampaignError> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root.canonicalize().map_err(CampaignError::io("find the sources"))?;
    let bugs = chosen(bugs(&root.join("tests/faults/planted"))?, names)?;
    let garden = Garden::lay_out(&root)?;
    println!("{} bugs are planted one after another in {}", bugs.len(), garden.folder.display());
    let mut is_all_caught = true;
    let mut table = String::from("| bug | caught by | after | as |\n| --- | --- | --- | --- |\n");
    for bug in &bugs {
        let caught = garden.try_out(bug);
        is_all_caught &= matches!(caught, Ok(Some(_)));
        let line = match caught {
            Ok(Some(one)) => {
                format!("| {} | {}, {} | {} s | {} |", bug.name, one.case, one.invariant, one.seconds, one.what)
            }
            Ok(None) => format!("| {} | NOT CAUGHT | | |", bug.name),
            // The others are tried all the same.
            Err(error) => format!("| {} | NOT CAUGHT | | {error} |", bug.name),
        };
        println!("{line}");
        table += &format!("{line}\n");
    }
    println!("\n{table}");
    Ok(is_all_caught)
}

fn bugs(folder: &Path) -> Result<Vec<Bug>, CampaignError> {
    let entries = std::fs::read_dir(folder).map_err(CampaignError::io(format!("read {}", folder.display())))?;
    let mut patches: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    patches.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
    patches.sort();
    patches.into_iter().map(Bug::read).collect()
}

fn chosen(bugs: Vec<Bug>, names: &[String]) -> Result<Vec<Bug>, CampaignError> {
    if let Some(unknown) = names.iter().find(|name| !bugs.iter().any(|bug| bug.name == **name)) {
        return Err(CampaignError::Planting(format!("there is no bug {unknown}")));
    }
    Ok(bugs.into_iter().filter(|bug| names.is_empty() || names.contains(&bug.name)).collect())
}

impl Bug {
    fn read(patch: PathBuf) -> Result<Self, CampaignError> {
        let text = std::fs::read_to_string(&patch).map_err(CampaignError::io(format!("read {}", patch.display())))?;
        let words = |key: &str| -> Vec<String> {
            let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
            line.split_whitespace().map(str::to_owned).collect()
        };
        let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (cases, expects, options) = (words("Cases:"), words("Expect:"), words("Options:"));
        if cases.is_empty() || expects.is_empty() {
            let missing = format!("{name} does not say which cases must catch it, and by which promises");
            return Err(CampaignError::Planting(missing));
        }
        Ok(Self { name, patch, cases, expects, options })
    }
}

/// A copy of the sources with a target folder of its own.
struct Garden {
    folder: PathBuf,
    target: PathBuf,
}

impl Garden {
    fn lay_out(root: &Path) -> Result<Self, CampaignError> {
        let folder = root.join("target/planted/sources");
        let target = root.join("target/planted/target");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(CampaignError::io("clear the copy of the sources"))?;
        }
        std::fs::create_dir_all(&folder).map_err(CampaignError::io("make the copy of the sources"))?;
        // What git knows or would know; times are kept, so that nothing is compiled for being copied. Cargo's settings
        // are found in the folders above as well, and flags that are read twice make everything compile anew.
        let copy = "git ls-files -co --exclude-standard -z ':!.cargo' | xargs -0 cp -p --parents -t \"$1\"";
        done("copy the sources", Command::new("sh").current_dir(root).args(["-c", copy, "sh"]).arg(&folder))?;
        if !target.exists() {
            seed_target(&root.join("target/debug"), &target.join("debug"))?;
        }
        Ok(Self { folder, target })
    }

    /// Plants a bug, lets the cases look for it, and takes it out again.
    fn try_out(&self, bug: &Bug) -> Result<Option<Caught>, CampaignError> {
        self.apply(bug, &[])?;
        let caught = self.hunt(bug);
        self.apply(bug, &["--reverse"])?;
        caught
    }

    fn apply(&self, bug: &Bug, options: &[&str]) -> Result<(), CampaignError> {
        let mut git = Command::new("git");
        // The copy lies in a repository that is not meant.
        git.current_dir(&self.folder).env("GIT_CEILING_DIRECTORIES", &self.folder).env("GIT_DIR", "/nonexistent");
        done(&format!("apply {}", bug.name), git.arg("apply").args(options).arg(&bug.patch))
    }

    fn hunt(&self, bug: &Bug) -> Result<Option<Caught>, CampaignError> {
        let words = ["build", "--workspace", "--bins", "--locked", "--features", "chassis/failpoints"];
        let mut cargo = Command::new("cargo");
        cargo.current_dir(&self.folder).env("CARGO_TARGET_DIR", &self.target).args(words);
        done(&format!("build with {}", bug.name), &mut cargo)?;
        let report = self.target.join("reports").join(&bug.name);
        let started = Instant::now();
        let driver = Command::new(self.target.join("debug/faults"))
            .current_dir(&self.folder)
            .args(["--seed", SEED, "--json", "--report"])
            .arg(&report)
            .args(&bug.options)
            .arg("--only")
            .args(&bug.cases)
            .stderr(Stdio::inherit())
            .output();
        let output = driver.map_err(CampaignError::io("run the campaign"))?;
        first_expected(&output, bug, started)
    }
}

/// The result is the last thing that the campaign prints, from the line with the opening bracket on.
fn first_expected(output: &Output, bug: &Bug, started: Instant) -> Result<Option<Caught>, CampaignError> {
    let text = String::from_utf8_lossy(&output.stdout);
    let json = text.find("\n[\n").map(|at| &text[at..]).unwrap_or_default();
    let rows: Vec<Value> = serde_json::from_str(json)?;
    if let Some(failed) = rows.iter().find_map(|row| row["result"]["failed"].as_str()) {
        return Err(CampaignError::Planting(format!("with {} the campaign could not go on: {failed}", bug.name)));
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let violations = |row: &'_ Value| row["result"]["judged"]["violations"].as_array().cloned().unwrap_or_default();
    let all: Vec<(&Value, Value)> =
        rows.iter().flat_map(|row| violations(row).into_iter().map(move |violation| (row, violation))).collect();
    let found = all.iter().find(|(_, violation)| bug.expects.contains(&text(&violation["invariant"])));
    if let (None, Some((_, other))) = (found, all.first()) {
        let (invariant, what) = (text(&other["invariant"]), text(&other["what"]));
        return Err(CampaignError::Planting(format!("only something else was found, {invariant}: {what}")));
    }
    Ok(found.map(|(row, violation)| Caught {
        case: text(&row["case"]),
        invariant: text(&violation["invariant"]),
        what: text(&violation["what"]),
        seconds: started.elapsed().as_secs(),
    }))
}

/// Compiled dependencies are shared, as cargo never writes into one that exists; its notes about them are copied.
fn seed_target(from: &Path, to: &Path) -> Result<(), CampaignError> {
    std::fs::create_dir_all(to).map_err(CampaignError::io("make the target folder"))?;
    for (folder, how) in [("deps", "-al"), ("build", "-a"), (".fingerprint", "-a")] {
        let what = format!("copy {folder} of the build");
        done(&what, Command::new("cp").arg(how).arg(from.join(folder)).arg(to))?;
    }
    Ok(())
}

fn done(what: &str, command: &mut Command) -> Result<(), CampaignError> {
    let output = command.output().map_err(CampaignError::io(what))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(CampaignError::Planting(format!("cannot {what}: {}", said.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::CASES;
    use crate::checker::INVARIANTS;

    #[test]
    fn every_planted_bug_names_cases_that_there_are_and_a_patch_that_applies() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let bugs = bugs(&root.join("tests/faults/planted")).unwrap();
        assert!(bugs.len() >= 8);
        let known = INVARIANTS.map(|(invariant, _)| format!("{invariant:?}"));
        for bug in bugs {
            assert!(bug.expects.iter().all(|one| known.contains(one)), "{}", bug.name);
            assert!(bug.cases.iter().all(|name| CASES.iter().any(|case| case.name == name)), "{}", bug.name);
            let applies = Command::new("git").current_dir(&root).args(["apply", "--check"]).arg(&bug.patch).output();
            let applies = applies.unwrap();
            assert!(applies.status.success(), "{}: {}", bug.name, String::from_utf8_lossy(&applies.stderr));
        }
    }

    #[test]
    fn what_was_expected_and_found_first_is_told() {
        let result = |stdout: &str| Output { status: Default::default(), stdout: stdout.into(), stderr: Vec::new() };
        let bug = Bug {
            name: "bug".to_owned(),
            patch: PathBuf::new(),
            cases: Vec::new(),
            expects: vec!["I2".to_owned()],
            options: Vec::new(),
        };
        let rows = r#"seed 1
[
  {"case": "a", "result": {"skipped": "no"}},
  {"case": "b", "result": {"judged": {"violations": [{"invariant": "I1", "what": "odd"}, {"invariant": "I2", "what": "gone"}]}}}
]"#;
        let caught = first_expected(&result(rows), &bug, Instant::now()).unwrap().unwrap();
        assert_eq!((caught.case.as_str(), caught.invariant.as_str()), ("b", "I2"));
        let none = r#"
[
  {"case": "b", "result": {"judged": {"violations": []}}}
]"#;
        assert!(first_expected(&result(none), &bug, Instant::now()).unwrap().is_none());
        let late = rows.replace("I2", "I11");
        assert!(first_expected(&result(&late), &bug, Instant::now()).is_err());
        let failed = "\n[\n{\"case\": \"b\", \"result\": {\"failed\": \"no broker\"}}]";
        assert!(first_expected(&result(failed), &bug, Instant::now()).is_err());
    }
}
