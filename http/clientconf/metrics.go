package clientconf

import "mox/internal/metrics"

var (
	metricAutoconf = metrics.NewCounterVec("mox_autoconf_request_total",
		"Requests for settings of mail programs in the manner of Thunderbird, by domain of the address.", "domain")
	metricAutodiscover = metrics.NewCounterVec("mox_autodiscover_request_total",
		"Requests for settings of Outlook, by domain of the address.", "domain")
	metricProfile = metrics.NewCounterVec("mox_mobileconfig_request_total",
		"Requests for profiles for devices of Apple, and their QR codes, by domain of the first address.", "domain")
	metricMTASTS = metrics.NewCounterVec("mox_mtasts_policy_request_total",
		"Requests of other mail servers for MTA-STS policies, by domain.", "domain")
)

// otherDomain is the label for domains that are not ours, which anyone can make up.
const otherDomain = "(other)"
