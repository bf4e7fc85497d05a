//! Promise: whatever fails, nothing that was answered 200 is lost and nothing is told twice as if it were two things. Every
//! failure here is caused for real.

mod clock;
mod connections;
mod database;
mod deadlock;
mod disk;
mod hanging;
mod keys;
mod process;
mod queue;
mod sending;
mod sending_kills;
