use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run(lookup::ABOUT, lookup::build, lookup::commands::execute)
}
