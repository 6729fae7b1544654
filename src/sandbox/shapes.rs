//! What Pleo's entities look like: plausible JSON that follows from the seed and the id alone.

use serde_json::{Value, json};

use super::kinds::Kind;
use super::seed::Dice;
use super::state::Company;

/// One entity in the making.
pub(super) struct Subject<'a> {
    pub(super) id: String,
    /// What the path says it belongs to: the job of an item, the group of a tag.
    pub(super) parent: Option<&'a str>,
    pub(super) company: &'a Company,
    pub(super) dice: Dice,
}

const PEOPLE: [&str; 6] = [
    "Ada Holm",
    "Bo Lind",
    "Cleo Marsh",
    "Dag Nyström",
    "Eva Ortiz",
    "Finn Paál",
];
const SHOPS: [&str; 6] = [
    "Harbour Café",
    "Nordic Rail",
    "Paper & Ink",
    "Cloud Nine Hosting",
    "Taxi 4x35",
    "Hotel Østerport",
];
const CURRENCIES: [&str; 4] = ["DKK", "EUR", "GBP", "SEK"];

impl Subject<'_> {
    /// The entity.
    pub(super) fn shaped(mut self, kind: Kind) -> Value {
        match kind {
            Kind::Account => self.account(),
            Kind::AccountingEntry => self.accounting_entry(),
            Kind::Company => self.company(),
            Kind::Employee => self.employee(),
            Kind::ExportEvent => json!({"id": self.id, "jobId": self.ref_id(), "event": "started"}),
            Kind::ExportItem => self.export_item(),
            Kind::ExportJob => self.export_job(),
            Kind::JobItem => self.job_item(),
            Kind::Receipt => self.receipt(),
            Kind::Vendor => self.vendor(),
            Kind::CsvError | Kind::CsvJob | Kind::PresignedUrl => self.import(kind),
            Kind::Installation => self.installation(),
            Kind::SigningSecret | Kind::Subscription | Kind::SubscriptionActivity => {
                self.subscription(kind)
            }
            Kind::Dimension
            | Kind::DimensionValue
            | Kind::Tag
            | Kind::TagGroup
            | Kind::TagUsage => self.tagging(kind),
            Kind::TaxAmounts | Kind::TaxCode => self.tax(kind),
            Kind::Enrichment => json!({
                "accountingEntryId": self.id,
                "receiptStatus": "ADDED_TO_ACCOUNTING_ENTRY",
                "tags": [],
            }),
        }
    }

    fn number(&mut self, end: u64) -> u64 {
        self.dice.below(end)
    }

    fn ref_id(&mut self) -> String {
        self.dice.uuid()
    }

    fn parent_or_some(&mut self) -> String {
        self.parent.map_or_else(|| self.dice.uuid(), str::to_owned)
    }

    fn code(&mut self, mark: &str) -> String {
        format!("{mark}{}", 1000 + self.number(9000))
    }

    fn date(&mut self) -> String {
        format!("2026-{:02}-{:02}", 1 + self.number(10), 1 + self.number(28))
    }

    fn time(&mut self) -> String {
        let (date, hour, minute) = (self.date(), self.number(24), self.number(60));
        format!("{date}T{hour:02}:{minute:02}:00.000Z")
    }

    /// Two decimals, written from the digits so that no rounding shows.
    fn money(&mut self) -> Value {
        let (whole, cents) = (1 + self.number(4000), self.number(100));
        let value: Value = format!("{whole}.{cents:02}").parse().unwrap_or(Value::Null);
        json!({"currency": self.dice.pick(&CURRENCIES), "value": value})
    }

    fn amount(&mut self) -> Value {
        let money = self.money();
        json!({"inSupplierCurrency": money, "inWalletCurrency": money})
    }

    fn file_url(&self, name: &str) -> String {
        format!(
            "https://files.sandbox.invalid/{}/{name}?signature=made-up",
            self.id
        )
    }

    fn account(&mut self) -> Value {
        json!({
            "id": self.id, "companyId": self.company.id, "externalId": self.code("acc-"),
            "name": self.dice.pick(&["Travel", "Meals", "Office supplies", "Software"]),
            "code": self.code(""), "archived": false, "createdAt": self.time(),
            "updatedAt": self.time(),
        })
    }

    fn accounting_entry(&mut self) -> Value {
        json!({
            "id": self.id, "companyId": self.company.id, "employeeId": self.ref_id(),
            "family": "EXPENSE", "subFamily": "CARD_PURCHASE", "type": "DEFAULT",
            "status": "SETTLED",
            "performedAt": self.time(), "settledAt": self.time(),
            "note": self.dice.pick(&["Lunch", "Train", "Client visit"]),
            "supplier": {"name": self.dice.pick(&SHOPS)}, "amount": self.amount(), "lines": [],
        })
    }

    fn company(&mut self) -> Value {
        json!({
            "id": self.company.id, "organizationId": self.company.organisation_id,
            "name": self.company.name,
            "country": "DK", "currency": "DKK", "createdAt": self.time(),
        })
    }

    fn employee(&mut self) -> Value {
        let name = self.dice.pick(&PEOPLE);
        let (first, last) = name.split_once(' ').unwrap_or((name, ""));
        json!({
            "id": self.id, "companyId": self.company.id, "firstName": first, "lastName": last,
            "email": format!("{}@example.com", self.code("employee-")), "code": self.code("E"),
            "jobTitle": "Analyst", "status": "ACTIVE", "createdAt": self.time(),
        })
    }

    fn export_item(&mut self) -> Value {
        json!({
            "accountingEntryId": self.id, "companyId": self.company.id, "date": self.date(),
            "type": "card_purchase",
            "amount": self.amount(), "note": "made up", "teamCode": self.code("T"),
            "supplier": {"name": self.dice.pick(&SHOPS), "country": "DK"},
            "user": {"id": self.ref_id(), "name": self.dice.pick(&PEOPLE), "code": self.code("E")},
            "accountingEntryLines": [{
                "accountingEntryLineId": self.ref_id(), "lineAmount": self.amount(),
                "netAmount": self.amount(),
                "account": {"code": self.code("")}, "tags": [],
                "tax": {"code": "DK25", "rate": 0.25, "type": "inclusive"},
            }],
            "files": [{"url": self.file_url("receipt.pdf"), "type": "application/pdf", "size": 10_000 + self.number(90_000)}],
            "_links": {"web": {"self": format!("https://app.pleo.io/expenses/{}", self.id)}, "api": {}, "mobile": {}},
        })
    }

    fn export_job(&mut self) -> Value {
        json!({
            "id": self.id, "companyId": self.company.id,
            "status": self.dice.pick(&["pending", "in_progress", "completed"]),
            "createdBy": self.ref_id(), "createdAt": self.time(), "lastUpdatedAt": self.time(),
            "startedAt": null,
            "completedAt": null, "expiresIn": 3600, "isInteractive": false,
            "numberOfItems": 1 + self.number(90),
            "failureReason": null, "failureReasonType": null,
        })
    }

    fn job_item(&mut self) -> Value {
        json!({
            "accountingEntryId": self.id, "exportJobId": self.parent_or_some(),
            "status": self.dice.pick(&["pending", "in_progress", "successful"]),
            "externalId": self.code("ext-"),
            "externalUrl": null, "exportedAt": null, "failureReason": null,
            "failureReasonType": null,
        })
    }

    fn receipt(&mut self) -> Value {
        json!({
            "id": self.id, "accountingEntryId": self.parent_or_some(), "fileType": "ORIGINAL",
            "mimeType": "image/jpeg",
            "url": self.file_url("receipt.jpg"), "uploadedAt": self.time(),
        })
    }

    fn vendor(&mut self) -> Value {
        json!({
            "id": self.id, "companyId": self.company.id, "name": self.dice.pick(&SHOPS),
            "externalId": self.code("V"),
            "taxId": self.code("DK4711"), "country": "DK", "status": "ACTIVE",
            "createdAt": self.time(), "updatedAt": self.time(),
        })
    }

    fn import(&mut self, kind: Kind) -> Value {
        match kind {
            Kind::CsvError => {
                json!({"row": 1 + self.number(500), "column": "name", "message": "is missing"})
            }
            Kind::PresignedUrl => {
                json!({"url": self.file_url("vendors.csv"), "expiresAt": self.time()})
            }
            _ => json!({
                "id": self.id, "companyId": self.company.id,
                "status": self.dice.pick(&["CREATED", "RUNNING", "DONE"]),
                "createdAt": self.time(), "metadata": {},
            }),
        }
    }

    fn installation(&mut self) -> Value {
        let company = self.company;
        let mut dice = Dice::new(0, &["installation", &company.id]);
        json!({
            "id": dice.uuid(), "applicationId": dice.uuid(),
            "resource": format!("urn:pleo:company:{}", company.id),
            "status": "ACTIVATED", "errorCode": null, "metadata": {}, "createdAt": self.time(),
            "updatedAt": self.time(),
        })
    }

    fn subscription(&mut self, kind: Kind) -> Value {
        match kind {
            Kind::SigningSecret => json!({"secretKey": format!("whsec_{}", self.code("sandbox"))}),
            Kind::SubscriptionActivity => {
                json!({
                    "id": self.id, "status": "DELIVERED", "responseStatus": 200,
                    "createdAt": self.time(),
                })
            }
            _ => json!({
                "id": self.id, "endpointUrl": "https://example.com/pleo-events", "status": "ACTIVE",
                "eventTypes": ["v1.export-job.created"], "endpointAuth": {"type": "NONE"},
                "createdAt": self.time(),
            }),
        }
    }

    fn tagging(&mut self, kind: Kind) -> Value {
        let (created, updated) = (self.time(), self.time());
        let name = self
            .dice
            .pick(&["Department", "Project", "Cost centre", "Region"]);
        match kind {
            Kind::TagUsage => json!({"groupId": self.parent_or_some(), "count": self.number(300)}),
            Kind::DimensionValue => json!({
                "dimensionId": self.id, "tagId": self.parent_or_some(), "value": self.code("value "),
                "createdAt": created, "updatedAt": updated,
            }),
            Kind::Dimension => json!({
                "id": self.id, "groupId": self.parent_or_some(), "name": name,
                "code": self.code("D"), "displayOrder": self.number(5),
                "visible": true, "createdAt": created, "updatedAt": updated,
            }),
            Kind::TagGroup => json!({
                "id": self.id, "companyId": self.company.id, "name": name, "code": self.code("G"),
                "archived": false,
                "metadata": {}, "createdAt": created, "updatedAt": updated,
            }),
            _ => json!({
                "id": self.id, "groupId": self.parent_or_some(), "name": name,
                "code": self.code("T"), "archived": false,
                "createdAt": created, "updatedAt": updated,
            }),
        }
    }

    fn tax(&mut self, kind: Kind) -> Value {
        if kind == Kind::TaxAmounts {
            return json!({"netAmount": self.money(), "taxAmount": self.money()});
        }
        json!({
            "id": self.id, "companyId": self.company.id,
            "name": self.dice.pick(&["VAT 25%", "VAT 6%", "No VAT"]), "code": self.code("TAX"),
            "rate": 0.25, "type": self.dice.pick(&["inclusive", "exclusive", "reverse"]),
            "archived": false,
            "createdAt": self.time(), "updatedAt": self.time(),
        })
    }
}
