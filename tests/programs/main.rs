//! Programs that people have, as Debian ships them, in containers: hung for real and healed by `monitor run`, and whole
//! stacks adopted. `scripts/test-programs` makes the images and runs this.

mod adopt;
mod hung;
mod support;
