//! HAL: items with `_links`, collections with `_embedded` and `page`, links that work from where the client stands.

use std::collections::BTreeMap;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::Query;
use super::problem::Problem;

pub const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/hal+json");
const MAX_PAGE_SIZE: i64 = 1000;
const DEFAULT_PAGE_SIZE: i64 = 20;

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Link {
    pub href: String,
}

pub type Links = BTreeMap<String, Link>;

/// One resource: its fields, then its links.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Item<T> {
    #[serde(flatten)]
    pub body: T,
    #[serde(rename = "_links")]
    pub links: Links,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Collection<T> {
    #[serde(rename = "_embedded")]
    pub embedded: BTreeMap<String, Vec<Item<T>>>,
    #[serde(rename = "_links")]
    pub links: Links,
    pub page: PageInfo,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PageInfo {
    pub size: i64,
    pub total_elements: i64,
    pub total_pages: i64,
    pub number: i64,
}

/// How a kind of resource is called: `reservations`, and one of it `reservation`.
#[derive(Debug, Clone, Copy)]
pub struct Rel {
    pub plural: &'static str,
    pub singular: &'static str,
}

/// Where the client stands: the gateway's address if it came through there.
#[derive(Debug, Clone)]
pub struct Origin {
    base: String,
    path_and_query: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let host = text("x-forwarded-host").or_else(|| text(header::HOST.as_str())).unwrap_or("localhost");
        let scheme = text("x-forwarded-proto").filter(|scheme| matches!(*scheme, "http" | "https")).unwrap_or("http");
        let path_and_query = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { base: format!("{scheme}://{host}"), path_and_query })
    }
}

impl Origin {
    /// For an answer that is written down while no client is there: links without a host.
    pub fn relative() -> Self {
        Self { base: String::new(), path_and_query: "/".to_owned() }
    }

    /// The address of one resource, as `Location` and `self` give it.
    pub fn href(&self, rel: Rel, id: impl std::fmt::Display) -> String {
        format!("{}/{}/{id}", self.base, rel.plural)
    }

    pub fn item<T>(&self, rel: Rel, id: impl std::fmt::Display, body: T) -> Item<T> {
        let href = self.href(rel, id);
        let links = ["self", rel.singular].map(|name| (name.to_owned(), Link { href: href.clone() }));
        Item { body, links: Links::from(links) }
    }

    pub fn collection<T>(&self, rel: Rel, items: Vec<Item<T>>, page: Page, total: i64) -> Collection<T> {
        let pages = (total + page.size - 1) / page.size;
        let mut links = Links::new();
        let mut link = |name: &str, number: i64| {
            links.insert(name.to_owned(), Link { href: self.page_href(number, page.size) });
        };
        link("self", page.number);
        if page.number > 0 {
            link("prev", page.number - 1);
        }
        if page.number < pages - 1 {
            link("next", page.number + 1);
        }
        if pages > 1 {
            link("first", 0);
            link("last", pages - 1);
        }
        Collection {
            embedded: BTreeMap::from([(rel.plural.to_owned(), items)]),
            links,
            page: PageInfo { size: page.size, total_elements: total, total_pages: pages, number: page.number },
        }
    }

    /// This request's own address with another page: the filters stay.
    fn page_href(&self, number: i64, size: i64) -> String {
        let (path, query) = self.path_and_query.split_once('?').unwrap_or((&self.path_and_query, ""));
        let kept: String = query
            .split('&')
            .filter(|pair| !pair.is_empty() && !pair.starts_with("page=") && !pair.starts_with("size="))
            .map(|pair| format!("{pair}&"))
            .collect();
        format!("{}{path}?{kept}page={number}&size={size}", self.base)
    }
}

/// `?page=0&size=20`.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    pub number: i64,
    pub size: i64,
}

impl Page {
    pub fn offset(&self) -> i64 {
        self.number.saturating_mul(self.size)
    }
}

#[derive(Deserialize)]
struct PageQuery {
    page: Option<i64>,
    size: Option<i64>,
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(query) = Query::<PageQuery>::from_request_parts(parts, state).await?;
        let (number, size) = (query.page.unwrap_or(0), query.size.unwrap_or(DEFAULT_PAGE_SIZE));
        if number < 0 {
            return Err(Problem::bad_request("page must be 0 or more."));
        }
        if !(1..=MAX_PAGE_SIZE).contains(&size) {
            return Err(Problem::bad_request(format!("size must be from 1 to {MAX_PAGE_SIZE}.")));
        }
        Ok(Self { number, size })
    }
}

/// `?sort=id,desc`: collections are in the order of their ids, one way or the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    OldestFirst,
    NewestFirst,
}

impl Order {
    pub fn sql(self) -> &'static str {
        match self {
            Self::OldestFirst => "ASC",
            Self::NewestFirst => "DESC",
        }
    }
}

#[derive(Deserialize)]
struct OrderQuery {
    sort: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Order {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(query) = Query::<OrderQuery>::from_request_parts(parts, state).await?;
        match query.sort.as_deref() {
            None | Some("id" | "id,asc") => Ok(Self::OldestFirst),
            Some("id,desc") => Ok(Self::NewestFirst),
            Some(_) => Err(Problem::bad_request("sort must be id,asc or id,desc.")),
        }
    }
}

fn hal<T: Serialize>(body: &T) -> Response {
    let mut response = axum::Json(body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, MEDIA_TYPE);
    response
}

impl<T: Serialize> IntoResponse for Item<T> {
    fn into_response(self) -> Response {
        hal(&self)
    }
}

impl<T: Serialize> IntoResponse for Collection<T> {
    fn into_response(self) -> Response {
        hal(&self)
    }
}
