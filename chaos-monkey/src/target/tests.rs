use super::*;
use planaria_core::id::{BootId, Incarnation, MemberName};
use planaria_core::message::{Hold, HoldVersion, MemberView};
use planaria_core::status::EngineState;

pub(crate) fn candidate(name: &str) -> Candidate {
    let labels = [(PROJECT_LABEL, "planaria"), (SERVICE_LABEL, name)];
    Candidate {
        id: format!("{name:0<64}"),
        name: name.to_owned(),
        image: "planaria/worker:latest".to_owned(),
        labels: labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        life: Life::Well,
        age: None,
    }
}

fn member(name: &str, state: MemberState) -> MemberView {
    MemberView {
        name: MemberName::new(name).unwrap(),
        state,
        incarnation: Incarnation::from("x"),
        boot: None,
        host: None,
        last_heartbeat_ms: Some(10),
        restarts: 0,
        candidate: name.starts_with("healer"),
        healer: name.starts_with("healer"),
        why: String::new(),
        held: false,
        skew_ms: None,
        pulse_age_ms: None,
    }
}

fn group() -> Status {
    Status {
        cluster: "planaria".to_owned(),
        node: MemberName::new("chaos_monkey").unwrap(),
        boot: BootId(1),
        leader: Some(MemberName::new("healer-3").unwrap()),
        leader_why: String::new(),
        term: 4,
        term_id: None,
        is_leader: false,
        may_force: false,
        members: ["healer-1", "healer-2", "healer-3", "worker-1", "worker-2"]
            .map(|name| member(name, MemberState::Alive))
            .to_vec(),
        broker: BrokerState::Connected,
        docker: EngineState::Connected,
        held: Vec::new(),
        fences: Vec::new(),
        incidents: Vec::new(),
        alerts: Vec::new(),
        tickets: 0,
        elections: 1,
        restarts_ordered: 0,
        heartbeats: 9,
        local_health: 0,
        blind: false,
    }
}

pub(crate) fn scene() -> Scene {
    let names = [
        "rabbitmq",
        "healer-1",
        "healer-2",
        "healer-3",
        "worker-1",
        "worker-2",
        "chaos_monkey",
    ];
    Scene {
        candidates: names.map(candidate).to_vec(),
        group: Some(group()),
        ..Scene::default()
    }
}

pub(crate) fn policy() -> Policy {
    let mut policy = Policy::new(&Settings::default()).unwrap();
    policy.project = Some("planaria".to_owned());
    policy.own_name = Some("chaos_monkey".to_owned());
    policy
}

fn fit(scene: &Scene, policy: &Policy, wish: &Wish) -> Vec<String> {
    sift(scene, policy, wish, false)
        .fit
        .into_iter()
        .map(|c| c.name)
        .collect()
}

#[test]
fn neither_itself_nor_the_broker_is_hit_unasked() {
    let sifted = sift(&scene(), &policy(), &Wish::Anyone, false);
    let names: Vec<&str> = sifted.fit.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(
        names,
        ["healer-1", "healer-2", "healer-3", "worker-1", "worker-2"]
    );
    assert_eq!(
        sifted.excluded_text(),
        "chaos_monkey: the monkey itself; rabbitmq: infrastructure, only by name"
    );
}

#[test]
fn itself_is_known_by_its_id_too() {
    let mut policy = policy();
    policy.own_name = None;
    policy.own_id = candidate("chaos_monkey").id[..12].to_owned();
    assert!(fit(&scene(), &policy, &Wish::Named("chaos_monkey".to_owned())).is_empty());
}

#[test]
fn the_broker_is_hit_when_named() {
    assert_eq!(
        fit(&scene(), &policy(), &Wish::Named("rabbitmq".to_owned())),
        ["rabbitmq"]
    );
    assert_eq!(
        fit(&scene(), &policy(), &Wish::Part(Part::Broker)),
        ["rabbitmq"]
    );
    let mut policy = policy();
    policy.targets = ["rabbitmq", "worker-1"]
        .map(|it| it.parse().unwrap())
        .to_vec();
    assert_eq!(
        fit(&scene(), &policy, &Wish::Anyone),
        ["rabbitmq", "worker-1"]
    );
}

#[test]
fn strangers_are_hit_only_with_the_label() {
    let mut scene = scene();
    for (name, label) in [("theirs", None), ("lent", Some("True"))] {
        let mut stranger = candidate(name);
        stranger
            .labels
            .insert(PROJECT_LABEL.to_owned(), "other".to_owned());
        if let Some(label) = label {
            stranger
                .labels
                .insert(CHAOS_LABEL.to_owned(), label.to_owned());
        }
        scene.candidates.push(stranger);
    }
    let fit = fit(&scene, &policy(), &Wish::Anyone);
    assert!(fit.contains(&"lent".to_owned()) && !fit.contains(&"theirs".to_owned()));
}

#[test]
fn without_a_project_of_its_own_only_labels_count() {
    let mut policy = policy();
    policy.project = None;
    assert!(fit(&scene(), &policy, &Wish::Anyone).is_empty());
}

#[test]
fn labels_lists_age_and_rest_protect() {
    let (mut scene, mut policy) = (scene(), policy());
    scene.candidates[1]
        .labels
        .insert(CHAOS_LABEL.to_owned(), "false".to_owned());
    policy.exclude = vec!["healer-2".parse().unwrap()];
    scene.candidates[4].age = Some(Duration::from_secs(2));
    scene
        .resting
        .insert("worker-2".to_owned(), Duration::from_secs(5));
    assert_eq!(fit(&scene, &policy, &Wish::Anyone), ["healer-3"]);
    let asked = sift(&scene, &policy, &Wish::Anyone, true);
    assert_eq!(
        asked.fit.len(),
        2,
        "only the minimum age yields to a person's wish"
    );
}

#[test]
fn the_last_healer_is_spared() {
    let mut scene = scene();
    scene.candidates[1].life = Life::Down;
    scene.candidates[2].life = Life::Down;
    let sifted = sift(&scene, &policy(), &Wish::Part(Part::Leader), true);
    assert_eq!(
        sifted.excluded,
        [("healer-3".to_owned(), Exclusion::LastHealer)]
    );
}

#[test]
fn parts_are_found_in_the_group() {
    for (part, names) in [
        (Part::Leader, vec!["healer-3"]),
        (Part::NextLeader, vec!["healer-2"]),
        (Part::Follower, vec!["healer-1", "healer-2"]),
    ] {
        assert_eq!(fit(&scene(), &policy(), &Wish::Part(part)), names);
    }
}

#[test]
fn nothing_is_hit_while_somebody_is_sick() {
    assert_eq!(hold(&scene(), &policy()), None);
    let mut one = scene();
    one.under_attack.push("worker-1".to_owned());
    assert_eq!(
        hold(&one, &policy()).unwrap(),
        "worker-1 is under attack; at most 1 may be sick at once"
    );
    let mut two = scene();
    if let Some(group) = &mut two.group {
        group.members[3].state = MemberState::Quarantined;
    }
    assert!(hold(&two, &policy()).unwrap().contains("in quarantine"));
    let mut three = scene();
    three.candidates[5].life = Life::Starting;
    assert!(
        hold(&three, &policy())
            .unwrap()
            .contains("worker-2 is still starting")
    );
}

#[test]
fn what_a_person_stopped_is_not_sick() {
    let mut scene = scene();
    scene.candidates[5].life = Life::Down;
    if let Some(group) = &mut scene.group {
        group.members[4].state = MemberState::Left;
    }
    assert_eq!(hold(&scene, &policy()), None);
}

#[test]
fn what_was_removed_is_not_sick() {
    let mut scene = scene();
    scene.candidates.remove(5);
    if let Some(group) = &mut scene.group {
        group.members[4].state = MemberState::Dead;
    }
    assert_eq!(hold(&scene, &policy()), None);
}

#[test]
fn a_hold_and_an_election_hold_the_monkey_too() {
    let mut held = scene();
    let mut leaderless = scene();
    if let (Some(a), Some(b)) = (&mut held.group, &mut leaderless.group) {
        a.held.push(Hold {
            name: None,
            left_ms: 1,
            reason: String::new(),
            version: HoldVersion::default(),
        });
        b.leader = None;
    }
    assert!(hold(&held, &policy()).is_some());
    assert!(hold(&leaderless, &policy()).is_some());
}

/// Each one's role by its label, as its name begins.
fn with_roles(mut scene: Scene) -> Scene {
    for candidate in &mut scene.candidates {
        let role = candidate
            .name
            .split('-')
            .next()
            .unwrap_or_default()
            .to_owned();
        candidate.labels.insert(ROLE_LABEL.to_owned(), role);
    }
    scene
}

#[test]
fn patterns_labels_and_groups_choose_too() {
    let scene = with_roles(scene());
    let meant = |text: &str| fit(&scene, &policy(), &Wish::parse(text).unwrap());
    assert_eq!(meant("re2:.*-1"), ["healer-1", "worker-1"]);
    assert_eq!(meant("group:worker"), ["worker-1", "worker-2"]);
    assert_eq!(meant("label:planaria.role=healer").len(), 3);
    assert_eq!(
        meant("re2:rabbit.*"),
        Vec::<String>::new(),
        "a pattern does not name the broker"
    );
    let mut policy = policy();
    policy.exclude = vec!["re2:healer-[12]".parse().unwrap()];
    assert_eq!(
        fit(&scene, &policy, &Wish::Anyone),
        ["healer-3", "worker-1", "worker-2"]
    );
}

#[test]
fn no_more_than_a_share_of_a_group_is_sick() {
    let mut scene = with_roles(scene());
    let mut policy = policy();
    policy.max_at_once = 9;
    scene.candidates[1].life = Life::Down;
    let names = fit(&scene, &policy, &Wish::Anyone);
    assert_eq!(
        names,
        ["worker-1", "worker-2"],
        "half of three healers is one"
    );
    policy.max_percent = 70;
    assert_eq!(fit(&scene, &policy, &Wish::Anyone).len(), 4);
}

#[test]
fn an_hour_of_plans_never_picks_a_bystander() {
    let mut scene = scene();
    // Named like ours, in another project or in none, one of them after our own name.
    for (name, project) in [
        ("worker-1-beside", Some("beside")),
        ("healer-2x", None),
        ("planaria_worker-1_1", Some("planaria2")),
        ("storage-node-1", None),
    ] {
        let mut bystander = candidate(name);
        bystander.labels.remove(PROJECT_LABEL);
        if let Some(project) = project {
            bystander
                .labels
                .insert(PROJECT_LABEL.to_owned(), project.to_owned());
        }
        scene.candidates.push(bystander);
    }
    let wishes = [
        "worker-1-beside",
        "re2:.*",
        "group:storage-node-1",
        "leader",
        "follower",
        "storage-node-1",
    ];
    let orders: Vec<Wish> = wishes
        .into_iter()
        .map(|it| Wish::parse(it).unwrap())
        .chain([Wish::Anyone])
        .collect();
    let mut picked = 0;
    for seed in 0..8 {
        // One attack each 30 s.
        for number in 1..=120 {
            for wish in &orders {
                let order = crate::plan::Order {
                    trigger: crate::plan::Trigger::Timer,
                    faults: crate::fault::Fault::ALL.to_vec(),
                    wish: wish.clone(),
                    dose: crate::fault::Dose::default(),
                    everyone: false,
                };
                if let Ok(choice) = crate::plan::choose(seed, number, &order, &scene, &policy()) {
                    assert_eq!(
                        choice.victim.labels.get(PROJECT_LABEL).map(String::as_str),
                        Some("planaria")
                    );
                    picked += 1;
                }
            }
        }
    }
    assert!(picked > 2000, "{picked}");
}

#[test]
fn only_one_store_rots_and_none_while_another_is_sick() {
    let store = |sick: Option<Life>| {
        let mut scene = scene();
        let names = ["storage-node-1", "storage-node-2", "storage-node-3"];
        for (index, name) in names.into_iter().enumerate() {
            let mut one = candidate(name);
            one.labels
                .insert(ROLE_LABEL.to_owned(), "storage".to_owned());
            if let (0, Some(life)) = (index, sick) {
                one.life = life;
            }
            scene.candidates.push(one);
        }
        scene
    };
    let bold = Policy {
        max_at_once: 9,
        max_percent: 100,
        ..policy()
    };
    let rot = |scene: &Scene, path: Option<&str>| {
        let dose = crate::fault::Dose {
            path: path.map(str::to_owned),
            ..crate::fault::Dose::default()
        };
        let mut sifted = sift(scene, &bold, &Wish::Anyone, true);
        sift_for(
            &mut sifted,
            crate::fault::Fault::BitRot,
            &dose,
            scene,
            &bold,
        );
        sifted
    };
    let well = rot(&store(None), None);
    let names: Vec<&str> = well.fit.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(
        names,
        ["storage-node-1", "storage-node-2", "storage-node-3"]
    );
    assert!(well.excluded_text().contains("worker-1: keeps no chunks"));
    assert!(rot(&store(None), Some("/srv")).fit.len() > 3);
    // Whatever CHAOS_MAX_PERCENT says, and also one that a person stopped.
    for life in [Life::Unhealthy, Life::Paused, Life::Down, Life::Starting] {
        let sifted = rot(&store(Some(life)), None);
        assert!(sifted.fit.is_empty(), "{life}: {:?}", sifted.fit);
    }
    let mut attacked = store(None);
    attacked.under_attack.push("storage-node-3".to_owned());
    assert!(rot(&attacked, None).fit.is_empty());
    // Also where it looks well, or was removed and left its volume.
    for name in ["storage-node-3", "storage-node-9"] {
        let mut rotten = store(None);
        rotten.rotten.insert(name.to_owned());
        assert!(rot(&rotten, None).fit.is_empty(), "{name}");
    }
}

#[test]
fn only_what_healers_may_make_anew_is_removed() {
    let removed = |labels: &[(&str, &str)]| {
        let mut scene = scene();
        for candidate in &mut scene.candidates {
            let more = labels
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            candidate.labels.extend(more);
        }
        let wish = Wish::Named("worker-1".to_owned());
        let mut sifted = sift(&scene, &policy(), &wish, true);
        let dose = crate::fault::Dose::default();
        sift_for(
            &mut sifted,
            crate::fault::Fault::Rm,
            &dose,
            &scene,
            &policy(),
        );
        sifted
    };
    let refused = removed(&[]);
    assert!(refused.fit.is_empty());
    let why = refused.excluded_text();
    assert!(why.contains("planaria.recreate=true"), "{why}");
    let label = ("planaria.recreate", "True");
    assert_eq!(removed(&[label]).fit.len(), 1);
    for against in [
        ("planaria.hold", "true"),
        ("planaria.policy", "no"),
        ("planaria.action", "notify"),
        ("planaria.enable", "false"),
    ] {
        assert!(removed(&[label, against]).fit.is_empty(), "{against:?}");
    }
}
