package nuget

import (
	"regexp"
	"strings"
)

// frameworkNames are the short names of target frameworks, by their identifiers in lower case
// (https://learn.microsoft.com/nuget/reference/target-frameworks). digits: how its version is written.
var frameworkNames = map[string]struct {
	short  string
	digits frameworkDigits
}{
	".netframework":       {"net", twoDigits},
	".netcoreapp":         {"netcoreapp", dotted},
	".netstandard":        {"netstandard", dotted},
	".netstandardapp":     {"netstandardapp", dotted},
	".netplatform":        {"dotnet", dotted},
	".netcore":            {"netcore", twoDigits},
	".netmicroframework":  {"netmf", twoDigits},
	".netnanoframework":   {"netnano", dotted},
	".netportable":        {"portable", twoDigits},
	"silverlight":         {"sl", oneDigit},
	"windows":             {"win", oneDigit},
	"windowsphone":        {"wp", oneDigit},
	"windowsphoneapp":     {"wpa", oneDigit},
	"winrt":               {"winrt", twoDigits},
	"uap":                 {"uap", dotted},
	"tizen":               {"tizen", dotted},
	"native":              {"native", oneDigit},
	"asp.net":             {"aspnet", twoDigits},
	"asp.netcore":         {"aspnetcore", twoDigits},
	"dnx":                 {"dnx", twoDigits},
	"dnxcore":             {"dnxcore", twoDigits},
	"monoandroid":         {"monoandroid", twoDigits},
	"monomac":             {"monomac", twoDigits},
	"monotouch":           {"monotouch", twoDigits},
	"xamarin.ios":         {"xamarinios", twoDigits},
	"xamarin.mac":         {"xamarinmac", twoDigits},
	"xamarin.tvos":        {"xamarintvos", twoDigits},
	"xamarin.watchos":     {"xamarinwatchos", twoDigits},
	"xamarin.xboxone":     {"xamarinxboxone", twoDigits},
	"xamarin.playstation": {"xamarinplaystation", twoDigits},
}

// frameworkDigits is how the version of a framework is written in its short name.
type frameworkDigits byte

const (
	twoDigits frameworkDigits = iota // 4.0: "40", 4.6.1: "461"
	oneDigit                         // 8.0: "8", 8.1: "81"
	dotted                           // 2.0: "2.0"
)

var frameworkPattern = regexp.MustCompile(`^(\.?[A-Za-z.]*[A-Za-z])(?:,\s*Version=v|v)?(\d+(?:\.\d+)*)?(?:(?:,\s*Profile=|-)([A-Za-z0-9.+-]+))?$`)

// shortFramework is the short name of a target framework: "net461" of ".NETFramework4.6.1" and of
// ".NETFramework,Version=v4.6.1". What is short already, or not known, stays as it is, in lower case.
func shortFramework(framework string) string {
	parts := frameworkPattern.FindStringSubmatch(framework)
	if parts == nil {
		return strings.ToLower(framework)
	}
	known, ok := frameworkNames[strings.ToLower(parts[1])]
	if !ok {
		if strings.EqualFold(parts[1], "any") {
			return ""
		}
		return strings.ToLower(framework)
	}
	name, profile := known.short, strings.ToLower(parts[3])
	if name == "portable" {
		return strings.TrimSuffix("portable-"+profile, "-")
	}
	numbers := strings.Split(parts[2], ".")
	least := 2
	if known.digits == oneDigit {
		least = 1
	}
	for len(numbers) > least && numbers[len(numbers)-1] == "0" {
		numbers = numbers[:len(numbers)-1]
	}
	separator := ""
	for _, n := range numbers {
		if known.digits == dotted || len(n) > 1 {
			separator = "."
		}
	}
	if parts[2] != "" && strings.Trim(parts[2], "0.") != "" {
		if len(numbers) < least {
			numbers = append(numbers, "0")
		}
		if name == "netcoreapp" && (len(numbers[0]) > 1 || numbers[0] >= "5") {
			name = "net"
		}
		name += strings.Join(numbers, separator)
	}
	if profile != "" {
		name += "-" + profile
	}
	return name
}
