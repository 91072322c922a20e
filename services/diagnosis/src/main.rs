use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run(diagnosis::ABOUT, diagnosis::build, diagnosis::commands::execute)
}
