use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run(notice::ABOUT, notice::build, notice::commands::execute)
}
