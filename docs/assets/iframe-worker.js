// The search runs in a worker, and browsers start no worker for pages that are opened as files. A hidden frame takes its place.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const here = new URL(url, document.baseURI)
      this.waiting = []
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      this.frame.srcdoc = "<!doctype html><title>search</title>"
      this.frame.onload = () => {
        this.frame.onload = null
        const inside = this.frame.contentWindow
        const load = address => new Promise((done, failed) => {
          const script = inside.document.createElement("script")
          Object.assign(script, { src: new URL(address, here), onload: done, onerror: failed, async: false })
          inside.document.head.append(script)
        })
        inside.importScripts = (...addresses) => Promise.all(addresses.map(load))
        inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
        load(here).then(() => {
          this.ready = inside
          this.waiting.splice(0).forEach(data => this.postMessage(data))
        }, error => this.dispatchEvent(new ErrorEvent("error", { error })))
      }
      document.body.append(this.frame)
    }
    postMessage(data) {
      if (this.ready) this.ready.dispatchEvent(new MessageEvent("message", { data }))
      else this.waiting.push(data)
    }
    terminate() { this.frame.remove() }
  }
}
