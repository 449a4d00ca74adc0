//! Linearizability where it is easily lost.

use crate::nodes::Nodes;

/// A leader that is killed and is back within its term must not answer with what it has not yet
/// applied again; nor may anybody else answer with what is old.
#[test]
fn a_read_after_a_leaders_restart_is_not_stale() {
    let mut nodes = Nodes::start();
    nodes.client(0).make_bucket();
    for round in 0..4 {
        let value = format!("value {round}").into_bytes();
        nodes.client(round % 3).put("key", &value).ok();
        let leader = nodes.leader();
        nodes.kill(leader);
        nodes.run(leader);
        for n in 0..3 {
            nodes.wait("an answer", || {
                let answer = nodes.client(n).get("key");
                if answer.status == 200 {
                    assert_eq!(answer.body, value, "node {n} in round {round}");
                }
                answer.status == 200
            });
        }
    }
}

#[test]
fn of_64_conditional_writes_through_any_node_one_wins() {
    let nodes = Nodes::start();
    nodes.client(0).make_bucket();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..64)
            .map(|n| {
                let client = nodes.client(n % 3);
                scope.spawn(move || {
                    let body = n.to_string();
                    let only_new = [("if-none-match", "*")];
                    client
                        .send("PUT", "/bucket/lock", "", &only_new, body.as_bytes())
                        .status
                })
            })
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .collect()
    });
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|status| **status == 412).count(),
        63,
        "{statuses:?}"
    );
}
