//! Five stacks of well-known kinds, adopted: golden files of their overrides. The stacks themselves run, are killed and
//! healed in the end-to-end tests (`tests/programs`), which share the files.

use crate::{golden, here};
use planaria_compose::adopt::{AdoptError, Group, Image, Options, adopt};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What `tests/programs/images/Dockerfile` makes, as the engine tells it.
fn image(name: &str) -> Image {
    let shell = |text: &str| json!({"Cmd": ["/bin/sh", "-c", text]});
    let config = match name {
        "planaria-test/web" => {
            json!({"Entrypoint": ["docker-entrypoint"], "Cmd": ["nginx", "-g", "daemon off;"]})
        }
        "planaria-test/database" => {
            json!({"Entrypoint": ["postgres-entrypoint"], "Cmd": ["postgres"]})
        }
        "planaria-test/redis" => json!({
            "Entrypoint": ["docker-entrypoint"],
            "Cmd": ["redis-server", "--save", "", "--protected-mode", "no"],
        }),
        "planaria-test/cache" => json!({"Cmd": ["memcached", "--listen", "0.0.0.0"]}),
        "planaria-test/queue" => shell("exec beanstalkd -l 0.0.0.0 -p 11300"),
        "planaria-test/worker" => shell("python3 -u /usr/local/bin/worker.py"),
        "planaria-test/proxy" => json!({
            "Entrypoint": ["/usr/bin/tini", "--"],
            "Cmd": ["haproxy", "-W", "-db", "-f", "/usr/local/bin/haproxy.cfg"],
        }),
        other => json!({"Unknown": other}),
    };
    let inspected =
        json!({"Os": "linux", "Architecture": "amd64", "Id": "sha256:1", "Config": config});
    Image::from_inspect(name, &inspected).unwrap()
}

fn options() -> Options {
    Options {
        monitor_id: "sha256:0123456789abcdef0123456789abcdef".into(),
        ..Options::default()
    }
}

/// As `docker-compose` would name things of the project `shop`.
fn group_options() -> Options {
    Options {
        group: Some(Group {
            project: "shop".into(),
            separator: '_',
            secrets: "./.planaria".into(),
            broker_image: "planaria/rabbitmq".into(),
        }),
        ..options()
    }
}

fn images(file: &Value) -> BTreeMap<String, Image> {
    let services = file["services"].as_object().unwrap();
    services
        .iter()
        .map(|(name, service)| (name.clone(), image(service["image"].as_str().unwrap())))
        .collect()
}

fn stack(name: &str) -> Value {
    let path = here(&format!("../tests/programs/stacks/{name}.yml"));
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The solo way's text; that of the group's has a golden file beside it.
fn adopted(name: &str) -> String {
    golden_of(name, "adopt/group", &group_options());
    golden_of(name, "adopt", &options())
}

fn golden_of(name: &str, folder: &str, options: &Options) -> String {
    let file = stack(name);
    let adoption = adopt(&file, &images(&file), options).unwrap();
    let report: String = adoption
        .report
        .iter()
        .map(|line| format!("# {line}\n"))
        .collect();
    let text = format!("{report}{}", adoption.text);
    golden(&here(&format!("tests/golden/{folder}/{name}.yml")), &text);
    text
}

#[test]
fn a_site_with_database_and_cache() {
    let text = adopted("web-database-cache");
    assert!(
        text.contains("init: false"),
        "two first processes are one too many"
    );
    assert!(text.contains("version: \"3.8\""), "v1 wants one version");
}

#[test]
fn a_queue_and_its_workers() {
    let text = adopted("queue-workers");
    assert!(
        text.contains("b $$HOME"),
        "Compose takes a single $ for a variable"
    );
}

#[test]
fn a_reverse_proxy() {
    let text = adopted("reverse-proxy");
    assert!(text.contains("its own tini stays") && text.contains("cap_add: [KILL]"));
}

#[test]
fn conditions_of_dependence() {
    adopted("depends-conditions");
}

#[test]
fn one_network_for_several() {
    let text = adopted("shared-network");
    assert!(
        text.contains("127.0.0.1:19747")
            && text.contains("127.0.0.1:19748") == text.contains("19748")
    );
}

#[test]
fn what_cannot_be_adopted_is_said() {
    let none = adopt(&json!({}), &BTreeMap::new(), &options());
    assert!(matches!(none, Err(AdoptError::File(_))));
    for ours in ["planaria-watch", "planaria-rabbitmq", "planaria-healer-3"] {
        let twice = json!({"services": {ours: {"image": "x"}}});
        assert!(matches!(
            adopt(&twice, &BTreeMap::new(), &options()),
            Err(AdoptError::Adopted(name)) if name == ours
        ));
    }
    let unknown = json!({"services": {"a": {"image": "x"}}});
    assert!(matches!(
        adopt(&unknown, &BTreeMap::new(), &options()),
        Err(AdoptError::Image { .. })
    ));
    assert!(Image::from_inspect("x", &json!({"Os": "linux"})).is_err());
}

#[test]
fn hostile_names_and_words_stay_quoted() {
    let file = json!({"services": {"a": {
        "image": "planaria-test/web",
        "command": ["x\": [evil]\n  b: 1", "\u{1b}[31m", "#", "- y", "!!python/x"],
    }}});
    let text = adopt(&file, &images(&file), &options()).unwrap().text;
    let back: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(
        back["services"]["a"]["command"],
        file["services"]["a"]["command"]
    );
    assert_eq!(back["services"].as_object().unwrap().len(), 3);
}

/// One service of a file of one, adopted in the group way, and the whole document and its report.
fn one_in_group(service: &Value) -> (Value, Value, String) {
    let file = json!({"services": {"a": service}});
    let adoption = adopt(&file, &images(&file), &group_options()).unwrap();
    let all: Value = serde_saphyr::from_str(&adoption.text).unwrap();
    (
        all["services"]["a"].clone(),
        all,
        adoption.report.join("\n"),
    )
}

#[test]
fn a_member_has_its_name_its_key_and_no_other() {
    let web = |extra: Value| {
        let mut service = json!({"image": "planaria-test/web"});
        service
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        one_in_group(&service)
    };
    let (service, all, _) = web(json!({}));
    assert_eq!(
        service["environment"]["PLANARIA_CONTAINER_NAME"],
        "shop_a_1"
    );
    assert_eq!(service["labels"]["planaria.group"], "shop");
    assert_eq!(service["env_file"], json!(["./.planaria/member.env"]));
    let member = service.to_string();
    assert!(
        !member.contains("keys-healer") && !member.contains("HEALER"),
        "{member}"
    );
    assert!(!member.contains("docker.sock"), "{member}");
    assert_eq!(
        all["services"]["planaria-rabbitmq"]["networks"],
        json!(["default"])
    );
    let services = all["services"].as_object().unwrap();
    let with_socket = services
        .iter()
        .filter(|(_, service)| service.to_string().contains("docker.sock"));
    assert_eq!(with_socket.count(), 3, "the healers alone");

    let (service, _, _) = web(json!({"container_name": "front"}));
    assert_eq!(service["environment"]["PLANARIA_CONTAINER_NAME"], "front");

    let (service, all, _) = web(json!({"networks": {"inner": null, "outer": {}}}));
    assert!(service["networks"].is_null(), "theirs stay as they are");
    for ours in ["planaria-rabbitmq", "planaria-healer-1"] {
        let networks = &all["services"][ours]["networks"];
        assert_eq!(networks, &json!(["inner", "outer"]), "{ours}");
    }
}

#[test]
fn who_cannot_join_is_wrapped_and_healed_without_a_broker() {
    for (extra, says) in [
        (json!({"network_mode": "host"}), "host"),
        (json!({"network_mode": "none"}), "none"),
        (json!({"network_mode": "service:b"}), "service:b"),
        (json!({"network_mode": "container:b"}), "container:b"),
        (json!({"scale": 2}), "several"),
        (json!({"deploy": {"replicas": 2}}), "several"),
    ] {
        let mut service = json!({"image": "planaria-test/web"});
        service
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        let (service, _, report) = one_in_group(&service);
        assert!(
            report.contains("without a broker") && report.contains(says),
            "{report}"
        );
        assert_eq!(service["entrypoint"][0], "/planaria/monitor");
        assert_eq!(service["labels"]["planaria.group"], "shop");
        assert!(service["env_file"].is_null() && !service.to_string().contains("planaria-keys"));
    }
}
