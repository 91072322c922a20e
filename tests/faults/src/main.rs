//! The command line of the fault campaign.

use faults::world::Node;

fn main() {
    println!("{} services", Node::SERVICES.len());
}
