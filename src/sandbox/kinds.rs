//! The kinds of Pleo's entities, and which of them an operation is about. What they look like is in `shapes`.

use crate::model::catalogue::Operation;

/// A kind of entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Account,
    AccountingEntry,
    Company,
    CsvError,
    CsvJob,
    Dimension,
    DimensionValue,
    Employee,
    Enrichment,
    ExportEvent,
    ExportItem,
    ExportJob,
    Installation,
    JobItem,
    PresignedUrl,
    Receipt,
    SigningSecret,
    Subscription,
    SubscriptionActivity,
    Tag,
    TagGroup,
    TagUsage,
    TaxAmounts,
    TaxCode,
    Vendor,
}

impl Kind {
    /// The kind that an operation is about.
    pub(super) fn of(operation: &Operation) -> Self {
        let (path, name) = (operation.path, operation.operation_id);
        let last = path
            .rsplit('/')
            .find(|part| !part.starts_with('{'))
            .unwrap_or("");
        match last.split(':').next().unwrap_or("") {
            _ if name == "enrichAccountingEntryV2" => Self::Enrichment,
            _ if name == "calculateTax" => Self::TaxAmounts,
            _ if name == "getCsvImportJobPresignedUrlV1" => Self::PresignedUrl,
            _ if path.contains("/tags/{tagId}/dimensions") => Self::DimensionValue,
            "export-items" => Self::ExportItem,
            "export-job-events" => Self::ExportEvent,
            "export-job-items" | "items" => Self::JobItem,
            "export-jobs" => Self::ExportJob,
            "accounts" | "chart-of-accounts" | "batch" => Self::Account,
            "companies" => Self::Company,
            "employees" => Self::Employee,
            "receipts" => Self::Receipt,
            "vendors" => Self::Vendor,
            "errors" => Self::CsvError,
            "jobs" | "metadata" | "status" => Self::CsvJob,
            "me" | "completions" => Self::Installation,
            "subscriptions" => Self::Subscription,
            "activities" => Self::SubscriptionActivity,
            "secret" => Self::SigningSecret,
            "tag-groups" => Self::TagGroup,
            "dimensions" => Self::Dimension,
            "usage" => Self::TagUsage,
            "tags" | "archive" => Self::Tag,
            "tax-codes" => Self::TaxCode,
            _ if path.starts_with("/v1/vendors/{id}") => Self::Vendor,
            _ => Self::AccountingEntry,
        }
    }

    /// True if there is one of it where it is read, not a list.
    pub(super) fn is_single(self) -> bool {
        matches!(
            self,
            Self::Installation | Self::SigningSecret | Self::TagUsage | Self::TaxAmounts
        )
    }

    /// Its name in error types.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Account => "ACCOUNT",
            Self::AccountingEntry | Self::Enrichment => "ACCOUNTING_ENTRY",
            Self::Company => "COMPANY",
            Self::CsvError | Self::CsvJob | Self::PresignedUrl => "IMPORT_JOB",
            Self::Dimension | Self::DimensionValue => "DIMENSION",
            Self::Employee => "EMPLOYEE",
            Self::ExportEvent | Self::ExportJob => "EXPORT",
            Self::ExportItem | Self::JobItem => "EXPORT_ENTRY",
            Self::Installation => "INSTALLATION",
            Self::Receipt => "RECEIPT",
            Self::SigningSecret | Self::Subscription | Self::SubscriptionActivity => "SUBSCRIPTION",
            Self::Tag => "TAG",
            Self::TagGroup | Self::TagUsage => "TAG_GROUP",
            Self::TaxAmounts | Self::TaxCode => "TAX_CODE",
            Self::Vendor => "VENDOR",
        }
    }
}
