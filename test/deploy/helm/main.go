// Renders a Helm chart as Helm's engine does: text/template of Go with the functions of sprig, and those few that Helm adds
// itself. Without a cluster, dependencies and hooks. A value that is not there is an error, as with `helm lint --strict`.
//
// usage: render CHART < {"release": NAME, "namespace": NAME, "values": {…}}   writes {template: text}
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"sigs.k8s.io/yaml"
)

type input struct {
	Release   string                 `json:"release"`
	Namespace string                 `json:"namespace"`
	Values    map[string]interface{} `json:"values"`
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(chart string) error {
	var in input
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		return err
	}
	metadata, err := readYaml(filepath.Join(chart, "Chart.yaml"))
	if err != nil {
		return err
	}
	values, err := readYaml(filepath.Join(chart, "values.yaml"))
	if err != nil {
		return err
	}
	// Helm shows the fields of Chart.yaml with a capital letter.
	shown := map[string]interface{}{}
	for name, value := range metadata {
		shown[strings.ToUpper(name[:1])+name[1:]] = value
	}
	root := map[string]interface{}{
		"Chart":   shown,
		"Values":  merge(values, in.Values),
		"Release": map[string]interface{}{"Name": in.Release, "Namespace": in.Namespace, "Service": "Helm", "IsInstall": true, "IsUpgrade": false, "Revision": 1},
	}
	return render(filepath.Join(chart, "templates"), root)
}

func render(directory string, root map[string]interface{}) error {
	all := template.New("chart").Option("missingkey=error")
	functions := sprig.TxtFuncMap()
	// Helm leaves these out: a chart shall not look at the machine.
	delete(functions, "env")
	delete(functions, "expandenv")
	functions["toYaml"] = func(value interface{}) (string, error) {
		text, err := yaml.Marshal(value)
		return strings.TrimSuffix(string(text), "\n"), err
	}
	functions["required"] = func(message string, value interface{}) (interface{}, error) {
		if value == nil || value == "" {
			return nil, fmt.Errorf("%s", message)
		}
		return value, nil
	}
	functions["include"] = func(name string, data interface{}) (string, error) {
		var out bytes.Buffer
		err := all.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	all.Funcs(functions)
	files, err := filepath.Glob(filepath.Join(directory, "*"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if _, err := all.New(filepath.Base(file)).Parse(string(text)); err != nil {
			return err
		}
	}
	rendered := map[string]string{}
	for _, file := range files {
		name := filepath.Base(file)
		if strings.HasPrefix(name, "_") {
			continue
		}
		var out bytes.Buffer
		if err := all.ExecuteTemplate(&out, name, root); err != nil {
			return err
		}
		rendered[name] = out.String()
	}
	return json.NewEncoder(os.Stdout).Encode(rendered)
}

func readYaml(file string) (map[string]interface{}, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var value map[string]interface{}
	return value, yaml.UnmarshalStrict(text, &value)
}

// As Helm lays the values of a user over those of the chart; null takes one away.
func merge(base, over map[string]interface{}) map[string]interface{} {
	merged := map[string]interface{}{}
	for name, value := range base {
		merged[name] = value
	}
	for name, value := range over {
		before, isMap := merged[name].(map[string]interface{})
		after, isMapToo := value.(map[string]interface{})
		switch {
		case value == nil:
			delete(merged, name)
		case isMap && isMapToo:
			merged[name] = merge(before, after)
		default:
			merged[name] = value
		}
	}
	return merged
}
