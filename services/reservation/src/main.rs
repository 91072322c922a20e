use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run(reservation::ABOUT, reservation::build, reservation::commands::execute)
}
