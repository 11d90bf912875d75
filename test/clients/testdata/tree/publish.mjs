// Publishes every tarball of a folder, bytes unchanged, with the library that
// "npm publish" itself calls, two hundred of them in one process.
//
// usage: node publish.mjs FOLDER REGISTRY TOKEN
import { execFileSync } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const [folder, registry, token] = process.argv.slice(2)

// npm's own dependencies, found from npm-cli.js.
const npm = realpathSync(execFileSync('which', ['npm'], { encoding: 'utf8' }).trim())
const require = createRequire(npm)
const { publish } = require('libnpmpublish')
const pacote = require('pacote')
const semver = require('semver')

const options = {
  registry,
  [registry.replace(/^https?:/, '') + ':_authToken']: token,
  npmVersion: require('../package.json').version,
  access: null,
}

const packages = new Map() // name -> its tarballs
for (const file of await readdir(folder)) {
  const path = join(folder, file)
  const manifest = await pacote.manifest('file:' + path, { fullMetadata: true, fullReadJson: true })
  packages.set(manifest.name, [...(packages.get(manifest.name) ?? []), { path, manifest }])
}

// Several packages at once, the versions of one from low to high, so that
// "latest" ends at the highest.
const queue = [...packages.values()]
let published = 0
async function worker() {
  for (let tarballs; (tarballs = queue.pop()); ) {
    tarballs.sort((a, b) => semver.compare(a.manifest.version, b.manifest.version))
    for (const { path, manifest } of tarballs) {
      await publish(manifest, await readFile(path), options)
      published++
    }
  }
}
await Promise.all(Array.from({ length: 4 }, worker))
console.log(`${published} published`)
