//! One OpenAPI document for all services, put together from theirs when it is asked for: only what is routed here.

use std::sync::Arc;
use std::time::Duration;

use axum::http::uri::PathAndQuery;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Limited};
use serde_json::{Map, Value, json};

use crate::proxy::{self, Client};
use crate::routes::{Route, Upstream};
use crate::upload::Upload;
use crate::{ABOUT, App};

const TIMEOUT: Duration = Duration::from_secs(2);
const LARGEST: usize = 4 * 1024 * 1024;
const SCHEMAS: &str = "/components/schemas";

pub async fn document(app: &App) -> Value {
    let mut upstreams: Vec<&Upstream> = app.routes.iter().map(|route| &*route.upstream).collect();
    upstreams.sort_by_key(|upstream| &upstream.name);
    upstreams.dedup_by_key(|upstream| &upstream.name);
    let answers = join_all(upstreams.iter().map(|upstream| fetch(&app.client, upstream))).await;

    let mut whole = json!({
        "openapi": "3.1.0",
        "info": {"title": ABOUT.name, "version": ABOUT.version},
        "security": [{"token": []}],
        "paths": {},
        "components": {
            "schemas": {},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    });
    let mut missing = Vec::new();
    for (upstream, answer) in upstreams.iter().zip(answers) {
        match answer {
            Ok(document) => merge(&mut whole, document, upstream, app),
            Err(reason) => {
                tracing::debug!(service = upstream.name, reason, "a service's document cannot be had");
                missing.push(upstream.name.as_str());
            }
        }
    }
    let note = match missing.is_empty() {
        true => String::new(),
        false => format!(" Not answering at the moment, so missing here: {}.", missing.join(", ")),
    };
    whole["info"]["description"] = json!(format!("{}{note}", ABOUT.summary));
    whole
}

async fn fetch(client: &Client, upstream: &Upstream) -> Result<Value, String> {
    let mut request = hyper::Request::new(Upload::empty());
    *request.uri_mut() = proxy::address(upstream, Some(PathAndQuery::from_static("/openapi.json")));
    request.headers_mut().insert("host", upstream.host.clone());
    let answer = async {
        let response = client.request(request).await.map_err(|error| error.to_string())?;
        if !response.status().is_success() {
            return Err(format!("it answered {}", response.status()));
        }
        let body = Limited::new(response.into_body(), LARGEST).collect().await.map_err(|error| error.to_string())?;
        serde_json::from_slice(&body.to_bytes()).map_err(|error| error.to_string())
    };
    tokio::time::timeout(TIMEOUT, answer).await.unwrap_or_else(|_| Err("it took too long".to_owned()))
}

fn merge(whole: &mut Value, mut document: Value, upstream: &Upstream, app: &App) {
    while let Some(name) = clash(&document, &whole["components"]["schemas"]) {
        rename(&mut document, &name, &format!("{}.{name}", upstream.name));
    }
    for (path, mut item) in taken(&mut document, "/paths") {
        let leads_there = |route: &&Arc<Route>| route.upstream.name == upstream.name && route.covers(&path);
        let Some(route) = app.routes.iter().find(leads_there) else { continue };
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
            operation.insert("tags".to_owned(), json!([upstream.name]));
            if route.is_public {
                operation.insert("security".to_owned(), json!([]));
            }
        }
        whole["paths"][path] = item;
    }
    for (name, schema) in taken(&mut document, SCHEMAS) {
        whole["components"]["schemas"][name] = schema;
    }
}

fn taken(document: &mut Value, pointer: &str) -> Map<String, Value> {
    match document.pointer_mut(pointer).map(Value::take) {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// A name by which an earlier service calls something else.
fn clash(document: &Value, known: &Value) -> Option<String> {
    let schemas = document.pointer(SCHEMAS)?.as_object()?;
    let mut clashes = schemas.iter().filter(|(name, schema)| known.get(name).is_some_and(|other| other != *schema));
    clashes.next().map(|(name, _)| name.clone())
}

fn rename(document: &mut Value, name: &str, new_name: &str) {
    point_elsewhere(document, &format!("#{SCHEMAS}/{name}"), &format!("#{SCHEMAS}/{new_name}"));
    let Some(schemas) = document.pointer_mut(SCHEMAS).and_then(Value::as_object_mut) else { return };
    if let Some(schema) = schemas.remove(name) {
        schemas.insert(new_name.to_owned(), schema);
    }
}

fn point_elsewhere(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(target) if key == "$ref" && target == from => to.clone_into(target),
                    _ => point_elsewhere(value, from, to),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| point_elsewhere(value, from, to)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_by_another_schema_is_renamed_with_all_that_points_to_it() {
        let known = json!({"Item": {"type": "string"}, "Page": {"$ref": "#/components/schemas/Item"}});
        let mut document = json!({
            "paths": {"/bills": {"get": {"schema": {"$ref": "#/components/schemas/Page"}}}},
            "components": {"schemas": {
                "Item": {"type": "integer"},
                "Page": {"$ref": "#/components/schemas/Item"},
            }},
        });
        while let Some(name) = clash(&document, &known) {
            rename(&mut document, &name, &format!("acceptance.{name}"));
        }
        assert_eq!(
            document,
            json!({
                "paths": {"/bills": {"get": {"schema": {"$ref": "#/components/schemas/acceptance.Page"}}}},
                "components": {"schemas": {
                    "acceptance.Item": {"type": "integer"},
                    "acceptance.Page": {"$ref": "#/components/schemas/acceptance.Item"},
                }},
            })
        );
    }
}
