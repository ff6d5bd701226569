//! What takes its time: sessions in which nothing happens, and outages of both ISPs. While one of these tests
//! only waits another may use the machine.

mod idle;
mod outage;
