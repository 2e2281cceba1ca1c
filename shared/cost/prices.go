package cost

// Price is what a unit of something costs.
type Price struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit"`
	Dollar float64 `json:"dollars"`
	Source string  `json:"source"`
}

// Region and AsOf say where and since when the prices hold: AWS's list prices of its
// first tier, before any discount. The newest change among them is DynamoDB's, whose
// requests on demand cost half of what they did from 2024-11-01 on.
const (
	Region = "us-east-1"
	AsOf   = "2024-11-01"
)

const (
	million  = 1e6
	thousand = 1e3

	lambdaPage     = "https://aws.amazon.com/lambda/pricing/"
	gatewayPage    = "https://aws.amazon.com/api-gateway/pricing/"
	s3Page         = "https://aws.amazon.com/s3/pricing/"
	kmsPage        = "https://aws.amazon.com/kms/pricing/"
	cloudWatchPage = "https://aws.amazon.com/cloudwatch/pricing/"
	dynamoPage     = "https://aws.amazon.com/dynamodb/pricing/on-demand/"
)

// The prices.
var (
	gatewayRequest = Price{"HTTP API", "request", 1.00 / million, gatewayPage}

	invocation   = Price{"Lambda invocations", "invocation", 0.20 / million, lambdaPage}
	gigabyteTime = Price{"Lambda time", "GB-second", 0.0000133334, lambdaPage}

	s3Put     = Price{"S3 PUT and LIST", "request", 0.005 / thousand, s3Page}
	s3Get     = Price{"S3 GET", "request", 0.0004 / thousand, s3Page}
	s3Storage = Price{"S3 storage", "GB-month", 0.023, s3Page}

	kmsKey     = Price{"KMS key", "key", 1.00, kmsPage}
	kmsRequest = Price{"KMS requests", "request", 0.03 / 10 / thousand, kmsPage}

	logIngestion = Price{"Logs", "GB", 0.50, cloudWatchPage}
	logStorage   = Price{"Logs kept", "GB-month", 0.03, cloudWatchPage}
	metric       = Price{"Metrics", "metric", 0.30, cloudWatchPage}
	alarmMetric  = Price{"Alarms", "metric", 0.10, cloudWatchPage}
	composite    = Price{"Composite alarm", "alarm", 0.50, cloudWatchPage}
	dashboard    = Price{"Dashboard", "dashboard", 3.00, cloudWatchPage}

	dynamoWrite   = Price{"DynamoDB writes", "unit", 0.625 / million, dynamoPage}
	dynamoRead    = Price{"DynamoDB reads", "unit", 0.125 / million, dynamoPage}
	dynamoStorage = Price{"DynamoDB storage", "GB-month", 0.25, dynamoPage}
	dynamoRestore = Price{"DynamoDB restore window", "GB-month", 0.20, dynamoPage}
)
